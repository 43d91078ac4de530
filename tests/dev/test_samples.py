"""What `worker dev` shows to push: payloads that the handlers' types take."""

import shlex
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple
from uuid import UUID

import pytest
from pydantic import AnyUrl, BaseModel, Field, TypeAdapter
from typing_extensions import TypedDict

from worker import App
from worker.dev.samples import Sample, read_samples, samples, write_samples
from worker.dev.screen import commands_to_try

pytestmark = pytest.mark.once


class Colour(Enum):
    RED = "red"


class Point(NamedTuple):
    x: int
    y: int


class Row(TypedDict):
    name: str
    size: int


class Tree(BaseModel):
    children: list["Tree"]
    left: "Tree | None" = None


class Everything(BaseModel):
    image_url: str
    url: AnyUrl
    email: str
    colour: Colour
    kind: Literal["a", "b"]
    at: datetime
    day: date
    lasting: timedelta
    id: UUID
    n: Annotated[int, Field(ge=5, le=9)]
    over: Annotated[float, Field(gt=3)]
    small: Annotated[int, Field(lt=1)]
    sixes: Annotated[int, Field(multiple_of=6)]
    code: Annotated[str, Field(min_length=8)]
    short: Annotated[str, Field(max_length=2)]
    price: Decimal
    point: Point
    pair: tuple[int, str]
    row: Row
    rows: Annotated[list[Row], Field(min_length=1)]
    either: int | str
    maybe: bool | None
    left_out: int = 3


@pytest.mark.parametrize(
    "type_", [Everything, Tree, Row, Point, int, str, bool, list[int], dict, None]
)
def test_a_sample_is_taken_by_its_type(type_: Any) -> None:
    app = App()

    async def handle(payload: Any) -> None: ...

    handle.__annotations__["payload"] = type_
    app.handler(handle)
    (sample,) = samples(app)
    TypeAdapter(type_).validate_json(TypeAdapter(Any).dump_json(sample.payload))


def test_what_is_not_required_is_left_out_and_urls_look_like_some() -> None:
    app = App()

    @app.handler
    async def handle(payload: Everything, config: Row) -> None: ...

    (sample,) = samples(app)
    assert "left_out" not in sample.payload
    assert sample.payload["image_url"] == "https://example.com/"
    assert sample.config == {"name": "name", "size": 1}


class Endless(BaseModel):
    more: "Endless"


def test_a_type_that_has_no_value_ends(tmp_path: Path) -> None:
    app = App()

    @app.handler
    async def handle(payload: Endless) -> None: ...

    @app.handler
    async def plain() -> None: ...

    file = tmp_path / "samples"
    assert read_samples(file) == []
    write_samples(app, str(file))
    first, second = read_samples(file)
    assert first.takes_payload
    assert second == Sample(
        "plain",
        takes_payload=False,
        takes_config=False,
        payload=second.payload,
        config=second.config,
    )


def test_commands_to_try() -> None:
    shown = commands_to_try(
        [
            Sample("it's", True, True, {"text": "it's"}, {"n": 1}),
            Sample("plain", False, False, {}, {}),
        ],
        {"WORKER_REDIS_URL": "redis://h:1/0", "AWS_REGION": "x", "WORKER_QUEUE": "my jobs"},
        worker="uv run worker",
        config_keys=set(),
    )
    note, first, second = shown
    assert note == """# it's takes a config; write it to configs.json: {"it's": {"n": 1}}"""
    assert shlex.split(first) == [
        *("WORKER_REDIS_URL=redis://h:1/0", "WORKER_QUEUE=my jobs", "uv", "run", "worker", "push"),
        *("it's", '{"text": "it\'s"}', "--wait", "10"),
    ]
    assert second.endswith("worker push plain --wait 10")
