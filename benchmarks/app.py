"""The handlers that are measured: typed payload, typed config, nothing done."""

import asyncio
import time
from typing import Any

from pydantic import BaseModel

from benchmarks import meter
from worker import App

app = App()


class Order(BaseModel):
    """What a job is about."""

    number: int
    text: str = ""


class Tenant(BaseModel):
    """What its config item says."""

    name: str
    limit: int


@app.handler
async def noop(payload: Order, config: Tenant) -> None:
    """The least that a job can be."""
    meter.hit()


@app.handler
async def sleep1ms(payload: Order, config: Tenant) -> None:
    """A job that waits for something else."""
    meter.hit()
    await asyncio.sleep(0.001)


@app.handler
async def pickup(payload: int, config: Tenant) -> None:
    """Notes how long ago it was sent."""
    meter.pickup(payload)


@app.handler
async def echo(payload: Any) -> Any:
    """Gives back what it got."""
    return payload


@app.handler
async def seen(payload: int, config: Any, job: Any) -> None:
    """Notes which version of its config it saw, and when."""
    now = time.monotonic_ns()
    meter.hit([job.config, config["edition"], now, now - payload])
