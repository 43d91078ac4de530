"""Middleware and `on_error` that note what they see in Redis."""

import asyncio
import json
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from pydantic import BaseModel

from worker import App, Job, Reject, Retry, get_redis_client


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[str]:
    yield "the pool"


app = App(lifespan=lifespan)


async def note(kind: str, *facts: Any) -> None:
    await get_redis_client().rpush(kind, json.dumps(facts))


@app.middleware
async def outer(job: Job, call_next: Callable[[], Awaitable[Any]], state: str) -> Any:
    await note("middleware", "begins", job.id, job.config_version, state)
    try:
        return await call_next()
    finally:
        await note("middleware", "ends", job.id)


@app.middleware
async def inner(job: Job, call_next: Callable[[], Awaitable[Any]], config: dict[str, Any]) -> Any:
    if config.get("paused"):
        raise Retry("the tenant is paused", delay=0)
    if config.get("closed"):
        raise Reject("the tenant is gone")
    return {"value": await call_next()}


@app.on_error
async def report(error: BaseException, job: Job, fate: str, state: str) -> None:
    await note("errors", type(error).__name__, job.id, job.attempt, fate, state)


@app.on_error
def broken(error: BaseException) -> None:
    raise RuntimeError("on_error itself fails")


class Size(BaseModel):
    width: int


@app.handler
async def echo(payload: Any) -> Any:
    return payload


@app.handler(max_attempts=2, backoff={"base": 0})
async def fails(payload: str) -> None:
    raise ValueError(payload)


@app.handler
async def rejects(payload: str) -> None:
    raise Reject(payload)


@app.handler
async def typed(payload: Size, config: Size) -> None: ...


@app.handler(timeout=0.1, max_attempts=1)
async def hangs() -> None:
    await asyncio.sleep(60)


@app.handler
async def has_no_json() -> Any:
    return object()


@app.handler
async def kills_its_worker() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
