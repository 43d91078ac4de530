"""taskiq: its list broker, the quickest that it has (and the one that loses what a killed worker
held), one process, 100 jobs at a time, results in Redis.
"""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from taskiq_redis import ListQueueBroker, RedisAsyncResultBackend

from benchmarks import meter
from benchmarks.peers.producer import (
    CONCURRENCY,
    URL,
    EnqueueSoon,
    exec_worker,
    main,
    produce_async,
)

broker = ListQueueBroker(URL, max_connection_pool_size=CONCURRENCY + 10).with_result_backend(
    RedisAsyncResultBackend(URL, result_ex_time=3600, max_connection_pool_size=CONCURRENCY + 10)
)


@broker.task(task_name="noop")
async def noop(payload: Any) -> None:
    meter.hit()


@broker.task(task_name="sleep1ms")
async def sleep1ms(payload: Any) -> None:
    meter.hit()
    await asyncio.sleep(0.001)


@broker.task(task_name="pickup")
async def pickup(payload: int) -> None:
    meter.pickup(payload)


TASKS = {"noop": noop, "sleep1ms": sleep1ms, "pickup": pickup}


def worker() -> None:
    exec_worker(
        "taskiq",
        "worker",
        "benchmarks.peers.taskiq:broker",
        "--workers=1",
        f"--max-async-tasks={CONCURRENCY}",
        f"--max-prefetch={CONCURRENCY}",
        "--no-parse",
        "--log-level=WARNING",
    )


@asynccontextmanager
async def connect() -> AsyncIterator[EnqueueSoon]:
    await broker.startup()

    async def enqueue(handler: str, payload: Any) -> None:
        await TASKS[handler].kiq(payload)

    yield enqueue
    await broker.shutdown()


if __name__ == "__main__":
    main(worker, lambda arguments: produce_async(arguments, connect))
