"""streaQ: 100 jobs at a time, uvloop (its own command uses it), results kept for an hour."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from streaq import Worker

from benchmarks import meter
from benchmarks.peers.producer import CONCURRENCY, URL, EnqueueSoon, main, produce_async

app = Worker(redis_url=URL, concurrency=CONCURRENCY, anyio_kwargs={"use_uvloop": True})


@app.task(ttl=3600)
async def noop(payload: Any) -> None:
    meter.hit()


@app.task(ttl=3600)
async def sleep1ms(payload: Any) -> None:
    meter.hit()
    await asyncio.sleep(0.001)


@app.task(ttl=3600)
async def pickup(payload: int) -> None:
    meter.pickup(payload)


TASKS = {"noop": noop, "sleep1ms": sleep1ms, "pickup": pickup}


@asynccontextmanager
async def connect() -> AsyncIterator[EnqueueSoon]:
    async with app:

        async def enqueue(handler: str, payload: Any) -> None:
            await TASKS[handler].enqueue(payload)

        yield enqueue


if __name__ == "__main__":
    # Under the name by which workers and producers both know its tasks.
    from benchmarks.peers import streaq as itself

    main(itself.app.run_sync, lambda arguments: produce_async(arguments, itself.connect))
