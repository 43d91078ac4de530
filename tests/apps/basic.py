"""Handlers that most tests share."""

import asyncio
import time
from typing import Any

from pydantic import BaseModel

from worker import App, Reject, Retry, get_redis_client

app = App()


@app.handler
async def echo(payload: Any, config: Any, job: Any) -> Any:
    return {"payload": payload, "config": config, "attempt": job.attempt}


class Size(BaseModel):
    width: int


@app.handler
async def typed(payload: dict[str, int], config: Size) -> int:
    return config.width


@app.handler
async def nap(payload: float) -> float:
    await asyncio.sleep(payload)
    return payload


@app.handler
def nap_in_thread(payload: float) -> float:
    time.sleep(payload)
    return payload


@app.handler
async def fail(payload: Any) -> None:
    raise ValueError(str(payload))


@app.handler
async def retry(payload: float | None) -> None:
    raise Retry(delay=payload)


@app.handler
async def reject(payload: str) -> None:
    raise Reject(payload)


@app.handler
async def started(payload: float) -> None:
    """Says in Redis that it runs, then naps."""
    await get_redis_client().incr("started")
    await asyncio.sleep(payload)


@app.handler
async def count(payload: str) -> int:
    """Counts its runs in Redis, where tests see them."""
    return int(await get_redis_client().incr(f"runs:{payload}"))
