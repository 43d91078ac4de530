"""huey: its blocking Redis storage, one process of four threads, results in Redis."""

import time
from typing import Any

from huey import RedisHuey

from benchmarks import meter
from benchmarks.peers.producer import URL, exec_worker, main, produce

app = RedisHuey("benchmark", url=URL, store_none=True)


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
    exec_worker("huey.bin.huey_consumer", "benchmarks.peers.huey.app", "--workers=4", "--quiet")


if __name__ == "__main__":
    # Under the name by which workers and producers both know its tasks.
    from benchmarks.peers import huey as itself

    main(
        worker,
        lambda arguments: produce(arguments, lambda name, payload: itself.TASKS[name](payload)),
    )
