"""Handlers that fail in every way, each with what it was given in whatever it leaves behind."""

import asyncio
import os
import sys
import time
from typing import Any

from pydantic import BaseModel, field_validator

from worker import App, Reject, Retry

app = App()


@app.handler(max_attempts=1)
async def raises(payload: str, config: dict[str, Any]) -> None:
    raise ValueError(f"{payload} {config}")


@app.handler(max_attempts=2, backoff={"base": 0})
async def chains(payload: str) -> None:
    try:
        {}[payload]  # type: ignore[index]
    except KeyError as error:
        raise ExceptionGroup(payload, [error]) from error


@app.handler
async def rejects(payload: str) -> None:
    raise Reject(payload)


@app.handler(max_attempts=2)
async def retries(payload: str) -> None:
    raise Retry(payload, delay=0)


@app.handler(max_attempts=1)
async def exits(payload: str) -> None:
    sys.exit(payload)


class Odd:
    def __init__(self, text: str) -> None:
        self.text = text

    def __repr__(self) -> str:
        return self.text


@app.handler
async def returns_an_object(payload: str) -> Any:
    return Odd(payload)


@app.handler
async def returns_too_much(payload: str) -> str:
    return payload * 1000


@app.handler(max_attempts=1, timeout=0.2)
def fails_late_in_a_thread(payload: str) -> None:
    time.sleep(0.5)
    raise ValueError(payload)


@app.handler(max_attempts=1, timeout=0.2)
async def fails_while_cancelled(payload: str) -> None:
    try:
        await asyncio.sleep(60)
    finally:
        raise ValueError(payload)


@app.handler
async def blocks(payload: str) -> str:
    time.sleep(1.3)  # noqa: ASYNC251 - that is what it is for
    return payload


@app.handler
async def takes_a_number(payload: int) -> int:
    return payload


class Picky(BaseModel):
    word: str

    @field_validator("word")
    @classmethod
    def never(cls, value: str) -> str:
        raise ValueError(f"{value} will not do")


class Broken(BaseModel):
    word: str

    @field_validator("word")
    @classmethod
    def never(cls, value: str) -> str:
        raise RuntimeError(f"{value} broke it")


@app.handler
async def picky_of_payload(payload: Picky) -> None: ...


@app.handler
async def broken_by_payload(payload: Broken) -> None: ...


@app.handler
async def picky_of_config(config: Picky) -> None: ...


@app.handler
async def broken_by_config(config: Broken) -> None: ...


@app.handler
async def replies(payload: str) -> str:
    return payload


@app.handler
async def environment() -> list[str]:
    """The modules that this worker has imported from its own folder."""
    return sorted(
        name
        for name, module in sys.modules.items()
        if (getattr(module, "__file__", None) or "").startswith(os.getcwd())  # noqa: PTH109
    )
