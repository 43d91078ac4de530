"""BullMQ for Python: 100 jobs at a time, uvloop."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from bullmq import Queue, Worker

from benchmarks import meter
from benchmarks.peers.producer import CONCURRENCY, URL, EnqueueSoon, main, produce_async


async def process(job: Any, _: str) -> None:
    if job.name == "pickup":
        meter.pickup(job.data["payload"])
        return
    meter.hit()
    if job.name == "sleep1ms":
        await asyncio.sleep(0.001)


def worker() -> None:
    import uvloop

    async def run() -> None:
        Worker("benchmark", process, {"connection": URL, "concurrency": CONCURRENCY})
        await asyncio.Event().wait()

    uvloop.run(run())


@asynccontextmanager
async def connect() -> AsyncIterator[EnqueueSoon]:
    queue = Queue("benchmark", {"connection": URL})

    async def enqueue(handler: str, payload: Any) -> None:
        await queue.add(handler, {"payload": payload})

    yield enqueue
    await queue.close()


if __name__ == "__main__":
    main(worker, lambda arguments: produce_async(arguments, connect))
