"""A handler's declared return type: its results are validated and serialised by it."""

import asyncio
import enum
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Annotated, Any, NoReturn

import pytest
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, SecretStr
from typing_extensions import TypedDict

from tests.execution.pipeline import Harness, result_of
from worker import App, HandlerError
from worker.execution.bound_handler import BoundHandler
from worker.jobs.outcome import Outcome
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once


class Image(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    width: int
    url: str = Field(default="none", alias="URL")


class Secret(Image):
    password: str = "secret"


class Count(TypedDict):
    n: int


@dataclass
class Point:
    x: float


class Colour(enum.Enum):
    RED = "red"


class Plain(dict):  # type: ignore[type-arg]
    """A class that pydantic does not know."""


Cents = Annotated[int, PlainSerializer(lambda cents: f"{cents / 100:.2f}")]


def returning(annotation: Any, value: Any, *middlewares: Callable[..., Any]) -> Outcome:
    app = App()

    @app.handler
    async def handler() -> Any:
        return value

    handler.__annotations__["return"] = annotation
    for middleware in middlewares:
        app.middleware(middleware)

    async def main() -> Outcome | None:
        return await Harness(app).run("handler")

    outcome = asyncio.run(main())
    assert outcome is not None
    return outcome


def numbers() -> Iterator[int]:
    yield from (1, 2)


@pytest.mark.parametrize(
    ("annotation", "value", "json"),
    [
        (None, None, None),
        (dict, {"a": 1}, {"a": 1}),
        (dict[str, Any], {"a": (1, 2)}, {"a": [1, 2]}),
        (list[int], (1, 2), [1, 2]),
        (int, 5, 5),
        (float, 5, 5.0),
        (bool, True, True),
        (int | None, None, None),
        (Any, Image(width=1), {"width": 1, "URL": "none"}),
        (object, {1, 2}, [1, 2]),
        (Image, Image(width=1), {"width": 1, "URL": "none"}),
        (Image, {"width": "1"}, {"width": 1, "URL": "none"}),
        (Image, Secret(width=1), {"width": 1, "URL": "none"}),
        (list[Image], [Secret(width=1)], [{"width": 1, "URL": "none"}]),
        (dict[str, Image], {"a": {"width": 2}}, {"a": {"width": 2, "URL": "none"}}),
        (Count, {"n": 1}, {"n": 1}),
        (Point, Point(1), {"x": 1.0}),
        (datetime, datetime(2026, 1, 2, tzinfo=UTC), "2026-01-02T00:00:00Z"),
        (timedelta, timedelta(seconds=90), "PT1M30S"),
        (Decimal, Decimal("1.10"), "1.10"),
        (Colour, Colour.RED, "red"),
        (SecretStr, "secret", "**********"),
        (Cents, 1250, "12.50"),
        (bytes, b"abc", "abc"),
        (Iterator[int], numbers(), [1, 2]),
        (Plain, Plain(a=1), {"a": 1}),
        (NoReturn, 7, 7),
    ],
)
def test_a_result_is_serialised_by_its_type(annotation: Any, value: Any, json: Any) -> None:
    outcome = returning(annotation, value)
    assert outcome.op == "finish", outcome.extra
    assert result_of(outcome)["result"] == json


@pytest.mark.parametrize(
    ("annotation", "value", "message"),
    [
        (None, 5, "the result is not of the declared type: the whole: Input should be None"),
        (dict, [1], "the whole: Input should be a valid dictionary"),
        (int, "five", "the whole: Input should be a valid integer"),
        (str, 5, "the whole: Input should be a valid string"),
        (Image, {"width": "wide"}, "width: Input should be a valid integer"),
        (list[int], [1, "x"], "1: Input should be a valid integer"),
        (Plain, {"a": 1}, "Input should be an instance of Plain"),
        (bytes, b"\xff", "the result has no JSON"),
        (float, float("nan"), "the result has no JSON"),
    ],
)
def test_a_wrong_return_is_an_invalid_result(annotation: Any, value: Any, message: str) -> None:
    outcome = returning(annotation, value)
    assert (outcome.op, outcome.reason) == ("bury", "result_invalid")
    result = result_of(outcome)
    assert message in result["error"]["message"]
    assert (result["error"]["type"], result["error"]["traceback"]) == ("ResultInvalid", None)
    assert result["attempts"] == 1


CallNext = Callable[[], Awaitable[Any]]


def test_middleware_gets_the_valid_value_and_may_put_another_in_its_place() -> None:
    seen: list[Any] = []

    async def watching(call_next: CallNext) -> Any:
        seen.append(await call_next())
        return seen[-1]

    async def wrapping(call_next: CallNext) -> Any:
        return {"value": await call_next()}

    watched = returning(Image, {"width": "3"}, watching)
    assert seen == [Image(width=3)]
    assert result_of(watched)["result"] == {"width": 3, "URL": "none"}
    assert result_of(returning(int, 5, wrapping))["result"] == {"value": 5}
    assert returning(int, "x", wrapping).reason == "result_invalid"


def test_a_type_that_pydantic_can_not_use_is_refused_at_the_start() -> None:
    app = App()

    @app.handler
    def handler() -> "list[NoSuchThing]":  # type: ignore[name-defined]  # noqa: F821
        return []

    with pytest.raises(HandlerError, match="handler 'handler': its annotations fail"):
        BoundHandler(app.handlers["handler"], Policy())
