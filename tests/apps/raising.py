"""Handlers that raise what would end a process."""

import asyncio
import builtins
from typing import Any

from worker import App

app = App()


def _error(kind: str) -> BaseException:
    error: BaseException = getattr(builtins, kind)("from a handler")
    return error


@app.handler
async def echo(payload: Any) -> Any:
    return payload


@app.handler
async def in_loop(payload: str) -> None:
    raise _error(payload)


@app.handler
async def after_a_while(payload: str) -> None:
    await asyncio.sleep(0.01)
    raise _error(payload)


@app.handler
def in_thread(payload: str) -> None:
    raise _error(payload)


@app.handler
async def with_a_cleanup(payload: str) -> None:

    async def inner() -> None:
        raise _error(payload)

    try:
        await inner()
    finally:
        await asyncio.sleep(0)
