"""arq: 100 jobs at a time, uvloop, hiredis, its poll every 10 ms instead of every 500."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from arq import create_pool
from arq.connections import RedisSettings
from arq.worker import run_worker

from benchmarks import meter
from benchmarks.peers.producer import CONCURRENCY, PORT, EnqueueSoon, main, produce_async


async def noop(_: Any, payload: Any) -> None:
    meter.hit()


async def sleep1ms(_: Any, payload: Any) -> None:
    meter.hit()
    await asyncio.sleep(0.001)


async def pickup(_: Any, payload: int) -> None:
    meter.pickup(payload)


class WorkerSettings:
    functions = (noop, sleep1ms, pickup)
    redis_settings = RedisSettings(port=int(PORT))
    max_jobs = CONCURRENCY
    poll_delay = 0.01


def worker() -> None:
    import uvloop

    asyncio.set_event_loop_policy(uvloop.EventLoopPolicy())
    asyncio.set_event_loop(asyncio.new_event_loop())
    run_worker(WorkerSettings)


@asynccontextmanager
async def connect() -> AsyncIterator[EnqueueSoon]:
    pool = await create_pool(RedisSettings(port=int(PORT)))
    yield pool.enqueue_job
    await pool.aclose()


if __name__ == "__main__":
    main(worker, lambda arguments: produce_async(arguments, connect))
