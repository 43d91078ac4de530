"""SAQ: 100 jobs at a time, uvloop, hiredis, results kept for an hour."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from saq import Queue, Worker

from benchmarks import meter
from benchmarks.peers.producer import CONCURRENCY, URL, EnqueueSoon, main, produce_async


async def noop(_: Any, *, payload: Any) -> None:
    meter.hit()


async def sleep1ms(_: Any, *, payload: Any) -> None:
    meter.hit()
    await asyncio.sleep(0.001)


async def pickup(_: Any, *, payload: int) -> None:
    meter.pickup(payload)


def worker() -> None:
    import uvloop

    async def run() -> None:
        # 20 operations at a time are SAQ's default; more let a hundred jobs end together.
        queue = Queue.from_url(URL, max_concurrent_ops=CONCURRENCY)
        await Worker(queue, [noop, sleep1ms, pickup], concurrency=CONCURRENCY).start()

    uvloop.run(run())


@asynccontextmanager
async def connect() -> AsyncIterator[EnqueueSoon]:
    queue = Queue.from_url(URL, max_concurrent_ops=CONCURRENCY)

    async def enqueue(handler: str, payload: Any) -> None:
        await queue.enqueue(handler, payload=payload, ttl=3600)

    yield enqueue
    await queue.disconnect()


if __name__ == "__main__":
    main(worker, lambda arguments: produce_async(arguments, connect))
