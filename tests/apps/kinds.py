"""Handlers of every kind: what they take, what they give back."""

import functools
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

from pydantic import BaseModel, Field
from typing_extensions import TypedDict

from worker import App, Job, Reject, Retry, get_redis_client

app = App()


class Image(BaseModel):
    url: str
    size: int = 3


@dataclass
class Point:
    x: int
    y: float = 0.5


class Movie(TypedDict):
    title: str
    year: int


class Colour(Enum):
    RED = "red"


@app.handler
async def model(payload: Image) -> Image:
    return payload


@app.handler
async def data(payload: Point) -> Point:
    return payload


@app.handler
async def typed_dict(payload: Movie) -> Movie:
    return payload


@app.handler
async def builtin(payload: list[int]) -> int:
    return sum(payload)


@app.handler
async def constrained(payload: Annotated[int, Field(gt=3)] | None) -> Any:
    return payload


@app.handler
async def named_later(payload: "Later") -> str:
    return payload.name


class Later(BaseModel):
    name: str


@app.handler
async def unannotated(payload, config, job):  # type: ignore[no-untyped-def]
    return [type(payload).__name__, type(config).__name__, type(job).__name__]


@app.handler
async def keyword_only(*, job: Job, payload: Any = "unused") -> Any:
    return [job.id, payload]


@app.handler
async def nothing() -> None:
    pass


@app.handler
def in_thread(payload: str) -> Any:
    return [payload, threading.current_thread() is threading.main_thread()]


@app.handler("a name of its own", max_attempts=1)
async def named(job: Job) -> Any:
    return [job.handler, job.attempt]


@app.handler()
async def with_parentheses() -> int:
    return 1


def wrapping_async(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    async def wrapper(**arguments: Any) -> Any:
        return function(**arguments)

    return wrapper


def wrapping(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(**arguments: Any) -> Any:
        return function(**arguments)

    return wrapper


@app.handler
@wrapping_async
def made_async(payload: int) -> int:
    return payload + 1


@app.handler
@wrapping
async def wrapped_async(payload: int) -> int:
    return payload + 1


class Callables:
    async def __call__(self, payload: int) -> int:
        return payload + 2

    def method(self, payload: int) -> int:
        return payload + 3


app.handler("an object")(Callables())
app.handler("a method")(Callables().method)
app.handler("a partial")(functools.partial(wrapped_async, payload=40))


@app.handler
async def gives(payload: str) -> Any:
    return {
        "model": Image(url="u"),
        "dataclass": Point(1),
        "date": datetime(2026, 11, 1, tzinfo=UTC),
        "decimal": Decimal("1.50"),
        "uuid": UUID(int=1),
        "enum": Colour.RED,
        "path": Path("/srv"),
        "bytes": b"text",
        "set": {1},
        "tuple": (1, None),
        "nested": {"a": [Image(url="u"), {2: Point(1)}]},
        "generator": (n for n in range(3)),
    }[payload]


@app.handler(max_attempts=2, backoff={"base": 1000, "max": 1000})
async def retry(payload: dict[str, Any]) -> None:
    raise Retry(payload.get("why", ""), delay=payload.get("delay"))


@app.handler(max_attempts=1)
async def wrong_retry() -> None:
    raise Retry(delay=-1)


@app.handler
async def reject() -> None:
    raise Reject("why not")


@app.handler(max_attempts=1)
def raise_in_thread() -> None:
    _deeper()


def _deeper() -> None:
    raise KeyError("deep down")


@app.handler
def reach_redis() -> int:
    return id(get_redis_client())
