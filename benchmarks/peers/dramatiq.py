"""dramatiq: one process of eight threads (more only contend), results in Redis."""

import time
from typing import Any

import dramatiq
from dramatiq.brokers.redis import RedisBroker
from dramatiq.results import Results
from dramatiq.results.backends import RedisBackend

from benchmarks import meter
from benchmarks.peers.producer import URL, exec_worker, main, produce

broker = RedisBroker(url=URL)
broker.add_middleware(Results(backend=RedisBackend(url=URL), store_results=True))
dramatiq.set_broker(broker)


@dramatiq.actor(actor_name="noop")
def noop(payload: Any) -> None:
    meter.hit()


@dramatiq.actor(actor_name="sleep1ms")
def sleep1ms(payload: Any) -> None:
    meter.hit()
    time.sleep(0.001)


@dramatiq.actor(actor_name="pickup")
def pickup(payload: int) -> None:
    meter.pickup(payload)


ACTORS = {"noop": noop, "sleep1ms": sleep1ms, "pickup": pickup}


def worker() -> None:
    exec_worker(
        "dramatiq", "benchmarks.peers.dramatiq", "--processes=1", "--threads=8", "--skip-logging"
    )


if __name__ == "__main__":
    main(
        worker,
        lambda arguments: produce(arguments, lambda name, payload: ACTORS[name].send(payload)),
    )
