"""Handlers that tell what their job went through."""

import asyncio
import os

from worker import App, Job, get_redis_client

app = App()


@app.handler
async def tell(job: Job) -> dict[str, int]:
    await get_redis_client().hincrby("runs", job.id, 1)
    return {"crashes": job.crashes, "attempt": job.attempt}


@app.handler
async def linger(job: Job) -> dict[str, int]:
    """Runs on where the worker is one that is to die, so that it holds the job when it leaves."""
    await get_redis_client().hincrby("runs", job.id, 1)
    if "DIE_AT" in os.environ:
        await asyncio.sleep(60)
    return {"crashes": job.crashes, "attempt": job.attempt}


@app.handler
async def second_waits(job: Job) -> str:
    """The second run waits until it is let go."""
    redis = get_redis_client()
    run = await redis.hincrby("runs", job.id, 1)
    while run == 2 and not await redis.exists("go"):  # noqa: ASYNC110
        await asyncio.sleep(0.02)
    await redis.hincrby("ends", job.id, 1)
    return f"run {run}"


@app.handler
async def nap(payload: float) -> None:
    await asyncio.sleep(payload)
