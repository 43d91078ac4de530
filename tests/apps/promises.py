"""Handlers that misbehave, and that leave traces of their runs where tests see them.

Counters are in Redis (`runs:KEY`), or lines in a file for tests in which Redis is away.
"""

import asyncio
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from worker import App, Job, Retry, get_config, get_redis_client

app = App()


@app.handler
async def echo(payload: Any, config: Any, job: Job) -> Any:
    return {"payload": payload, "config": config, "attempt": job.attempt, "crashes": job.crashes}


@app.handler
async def count(payload: str) -> int:
    return int(await get_redis_client().incr(f"runs:{payload}"))


@app.handler
async def count_slowly(payload: str) -> int:
    await asyncio.sleep(0.1)
    return await count(payload)


@app.handler
async def nap(payload: float) -> float:
    await asyncio.sleep(payload)
    return payload


@app.handler
async def wait_first(payload: Path, job: Job) -> str:
    """In its first run only, waits until there is such a file; says when it is cancelled."""
    redis = get_redis_client()
    run = await redis.incr(f"runs:{job.id}")
    try:
        while run == 1 and not payload.exists():  # noqa: ASYNC110, ASYNC240 - a file wakes nobody
            await asyncio.sleep(0.02)
    except asyncio.CancelledError:
        await redis.incr(f"cancelled:{job.id}")
        raise
    return f"run {run}"


@app.handler
async def note(payload: dict[str, Any], job: Job) -> str:
    """Writes a line into a file when it begins and when it ends, and takes its time."""
    _append(payload["file"], f"{job.id} begins")
    await asyncio.sleep(payload.get("seconds", 0))
    _append(payload["file"], f"{job.id} ends")
    return "noted"


def _append(file: str, line: str) -> None:
    with Path(file).open("a") as notes:
        notes.write(f"{line}\n")


@app.handler
async def poison() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


@app.handler
async def census() -> list[int]:
    """How many jobs its worker holds, a few times over."""
    redis = get_redis_client()
    counts = []
    for _ in range(5):
        counts += [await redis.llen(key) async for key in redis.scan_iter("{jobs}:active:*")]
        await asyncio.sleep(0.05)
    return counts


@app.handler
async def block(payload: float) -> str:
    time.sleep(payload)  # noqa: ASYNC251 - that is what it is for
    return "blocked the loop"


@app.handler
async def read_config(payload: str) -> dict[str, Any]:
    return await get_config(payload)


@app.handler
async def tidy(payload: str, job: Job) -> None:
    """Runs for long, and cleans up however it ends."""
    _append(payload, f"{job.id} begins")
    try:
        await asyncio.sleep(60)
    finally:
        await asyncio.sleep(0.05)
        _append(payload, f"{job.id} is clean")


@app.handler
async def stubborn(payload: str, job: Job) -> str:
    """Swallows cancellation, until there is such a file."""
    _append(payload, f"{job.id} begins")
    while not Path(f"{payload}.end").exists():  # noqa: ASYNC240 - a file wakes nobody
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05)
    return "too late"


@app.handler
async def slow_to_leave(payload: float) -> str:
    """Takes its time to clean up, and then returns as if nothing had been."""
    try:
        await asyncio.sleep(60)
    except asyncio.CancelledError:
        await asyncio.sleep(payload)
    return "too late"


@app.handler
def in_thread(payload: dict[str, Any], job: Job) -> str:
    _append(payload["file"], f"{job.id} begins")
    time.sleep(payload["seconds"])
    _append(payload["file"], f"{job.id} ends")
    return "too late"


@app.handler
async def block_first(payload: float, job: Job) -> str:
    """Blocks the loop in its first run only."""
    run = await get_redis_client().incr(f"runs:{job.id}")
    if run == 1:
        time.sleep(payload)  # noqa: ASYNC251 - that is what it is for
    return f"run {run}"


@app.handler
async def redis_time() -> int:
    """When it ran, in ms on Redis's clock."""
    return await _redis_ms()


@app.handler
async def retry_once(payload: float, job: Job) -> list[int]:
    """When it ran each time, in ms on Redis's clock; asks for another attempt the first time."""
    redis = get_redis_client()
    await redis.rpush(f"times:{job.id}", await _redis_ms())
    if job.attempt == 1:
        raise Retry(delay=payload)
    return [int(ms) for ms in await redis.lrange(f"times:{job.id}", 0, -1)]


async def _redis_ms() -> int:
    seconds, microseconds = await get_redis_client().time()
    return int(seconds) * 1000 + int(microseconds) // 1000
