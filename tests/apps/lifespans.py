"""A lifespan that works, hangs or fails, as the variable MODE says, and notes what happens in
Redis."""

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import anyio

from worker import App, Job, get_config, get_dynamo_client, get_redis_client

MODE = os.environ.get("MODE", "")


class Pool:
    """What handlers share."""

    def __init__(self, item: dict[str, Any]) -> None:
        self.item = item
        self.is_open = True


async def hang() -> None:
    await asyncio.sleep(3600)


async def note(event: str) -> None:
    await get_redis_client().rpush("events", event)


async def swallow() -> None:
    while True:
        with suppress(asyncio.CancelledError):
            await hang()


async def on_the_way(when: str) -> None:
    """Fail or hang on the way in or out, if so asked."""
    if f"fails {when}" == MODE:
        raise LookupError("no database there")
    if f"exits {when}" == MODE:
        sys.exit("DATABASE_URL is not set")
    if f"hangs {when}" == MODE:
        await hang()
    if f"swallows {when}" == MODE:
        await swallow()
    if f"blocks {when}" == MODE:
        time.sleep(3600)  # noqa: ASYNC251 - the point


async def ticks() -> None:
    await asyncio.sleep(0.2)
    raise ConnectionError("the pool's own task is gone")


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[Pool]:
    await note(f"enters with {len(app.handlers)} handlers")
    try:
        await get_dynamo_client().list_tables()
        pool = Pool(await get_config("pool"))
        await on_the_way("in")
    except asyncio.CancelledError:
        await note("cancelled on its way in")
        raise
    async with anyio.create_task_group() as group:
        if MODE == "dies":
            group.start_soon(ticks)
        await note("entered")
        yield pool
        await note("leaves")
        await on_the_way("out")
        pool.is_open = False
        group.cancel_scope.cancel()
    await note("left")


app = App(lifespan=lifespan)


@app.handler
async def use(state: Pool) -> Any:
    return [state.is_open, state.item, os.getpid()]


@app.handler
def use_in_thread(payload: int, state: Pool) -> Any:
    return [payload, state.is_open]


@app.handler
async def nap(payload: float, state: Pool, job: Job) -> bool:
    await note(f"{job.id} runs")
    await asyncio.sleep(payload)
    await note(f"{job.id} ends")
    return state.is_open
