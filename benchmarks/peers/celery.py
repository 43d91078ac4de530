"""celery: one process in its solo pool, which is its quickest for jobs that do not wait; late
prefetch of 100, no gossip, no events, results in Redis.
"""

import time
from typing import Any

from celery import Celery

from benchmarks import meter
from benchmarks.peers.producer import URL, exec_worker, main, produce

app = Celery("benchmark", broker=URL, backend=URL)
app.conf.worker_prefetch_multiplier = 100
app.conf.result_expires = 3600
app.conf.broker_connection_retry_on_startup = True
app.conf.worker_send_task_events = False
app.conf.worker_hijack_root_logger = False


@app.task(name="noop")
def noop(payload: Any) -> None:
    meter.hit()


@app.task(name="sleep1ms")
def sleep1ms(payload: Any) -> None:
    meter.hit()
    time.sleep(0.001)


@app.task(name="pickup")
def pickup(payload: int) -> None:
    meter.pickup(payload)


TASKS = {"noop": noop, "sleep1ms": sleep1ms, "pickup": pickup}


def worker() -> None:
    exec_worker(
        "celery",
        "--app=benchmarks.peers.celery:app",
        "worker",
        "--pool=solo",
        "--loglevel=ERROR",
        "--without-gossip",
        "--without-mingle",
        "--without-heartbeat",
    )


if __name__ == "__main__":
    main(
        worker,
        lambda arguments: produce(arguments, lambda name, payload: TASKS[name].delay(payload)),
    )
