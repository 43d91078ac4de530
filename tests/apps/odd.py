"""Handlers whose outcomes can't be taken as they are."""

import sys
from typing import Any

from worker import App

app = App()


class Unreadable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no message for you")


@app.handler
async def echo(payload: Any) -> Any:
    return payload


@app.handler
async def typed(payload: dict[str, int]) -> int:
    return sum(payload.values())


@app.handler
async def gives(payload: str) -> Any:
    """Something that has no JSON."""
    ring: list[Any] = []
    ring.append(ring)
    deep: list[Any] = []
    for _ in range(5_000):
        deep = [deep]
    return {
        "an object": object(),
        "NaN": float("nan"),
        "minus infinity, deep down": {"a": [{"b": float("-inf")}]},
        "a ring": ring,
        "bytes that are no text": b"\xff\xfe",
        "half a character": "\ud800",
        "a coroutine function": echo,
        "depth": deep,
    }[payload]


@app.handler
async def raises(payload: str) -> None:
    if payload == "exit":
        sys.exit(3)
    if payload == "unreadable":
        raise Unreadable
    if payload == "half a character":
        raise ValueError("\ud800")
    if payload == "long":
        raise ValueError("x" * 1_000_000)
    raise StopAsyncIteration


@app.handler
def raises_in_thread(payload: str) -> None:
    if payload == "exit":
        sys.exit(3)
    raise StopIteration
