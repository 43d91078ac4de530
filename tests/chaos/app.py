"""Handlers with known effects: each run that comes to its end leaves one mark in Redis."""

import asyncio
import os
import signal
import time
from secrets import token_hex
from typing import Any

from anyio import from_thread
from redis.exceptions import RedisError

from worker import App, Job, Reject, get_redis_client

RUNS = "chaos:runs"

app = App()


async def _mark(job: Job) -> None:
    """Count this run, once. Tried until Redis has it: a set takes the same member only once."""
    member = f"{job.id} {token_hex(6)}"
    while True:
        try:
            await get_redis_client().sadd(RUNS, member)
        except (RedisError, OSError):
            await asyncio.sleep(0.1)
        else:
            return


@app.handler
async def quick(payload: Any, job: Job) -> Any:
    await _mark(job)
    return payload


@app.handler
async def nap(payload: float, job: Job) -> float:
    await asyncio.sleep(payload)
    await _mark(job)
    return payload


@app.handler
def threaded(payload: float, job: Job) -> float:
    time.sleep(payload)
    from_thread.run(_mark, job)
    return payload


@app.handler
async def configured(payload: Any, config: dict[str, Any], job: Job) -> Any:
    await _mark(job)
    return config["tenant"]


@app.handler
async def flaky(payload: int, job: Job) -> int:
    """Fails as many times as it is told."""
    await _mark(job)
    if job.attempt <= payload:
        raise ConnectionError(f"attempt {job.attempt} fails")
    return payload


@app.handler(max_attempts=2)
async def failing(job: Job) -> None:
    await _mark(job)
    raise ValueError("always")


@app.handler
async def rejecting(job: Job) -> None:
    await _mark(job)
    raise Reject("no")


@app.handler(timeout=0.3, max_attempts=2)
async def overtime(job: Job) -> None:
    await _mark(job)
    await asyncio.sleep(60)


@app.handler
async def poison() -> None:
    """Takes its worker along, each time."""
    os.kill(os.getpid(), signal.SIGKILL)


@app.handler
async def stalling(payload: float, job: Job) -> float:
    """Blocks the event loop for longer than the lease, the first time only."""
    await _mark(job)
    try:
        first = await get_redis_client().set(f"chaos:stalled:{job.id}", 1, nx=True)
    except (RedisError, OSError):
        first = False
    if first:
        time.sleep(payload)  # noqa: ASYNC251 - the very fault that others have to bear
    return payload
