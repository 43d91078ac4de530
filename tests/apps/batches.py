"""Handlers with a limit of their own and handlers that take batches, included from a part."""

import asyncio
import time
from typing import Any

from pydantic import BaseModel

from worker import App, Job, Reject, Retry, get_redis_client

part = App()


class Row(BaseModel):
    n: int
    fate: str = "fine"


@part.handler(batch=100, linger=0.2)
async def insert(payloads: list[Row], jobs: list[Job]) -> list[dict[str, int] | Exception]:
    await get_redis_client().rpush("calls", len(payloads))
    fates = {"fine": None, "retry": Retry(delay=0), "reject": Reject("not this one")}
    return [
        (job.attempt == 1 and fates[row.fate]) or {"n": row.n}
        for row, job in zip(payloads, jobs, strict=True)
    ]


@part.handler(batch=1000, linger=60)
async def linger(payloads: list[Any]) -> None:
    await get_redis_client().rpush("calls", len(payloads))


@part.handler(batch=10, linger=0, max_attempts=1)
async def slow(payloads: list[float]) -> list[float]:
    await get_redis_client().rpush("calls", len(payloads))
    await asyncio.sleep(max(payloads))
    return payloads


@part.handler(concurrency=2)
def limited(payload: float) -> list[float]:
    began = time.monotonic()
    time.sleep(payload)
    return [began, time.monotonic()]


@part.handler
async def typed(payload: Any) -> Row:
    result: Row = payload
    return result


app = App()
app.include(part)
