"""Handlers of strict and exact types, which show what they were given."""

from dataclasses import dataclass
from datetime import date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Discriminator, Field, JsonValue
from pydantic.dataclasses import dataclass as pydantic_dataclass

from worker import App

app = App()


class Colour(Enum):
    RED = "red"
    GREEN = "green"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)


class Line(Strict):
    sku: str
    price: Decimal


@pydantic_dataclass(config=ConfigDict(strict=True))
class Place:
    at: tuple[float, float]


class Order(Strict):
    id: UUID
    when: datetime
    day: date
    colour: Colour
    tags: set[str]
    pair: tuple[int, str]
    lines: list[Line]
    place: Place
    wait: timedelta
    ids: frozenset[UUID] = frozenset()
    by_number: dict[int, str] = {}


class Card(Strict):
    kind: Literal["card"]
    number: UUID


class Cash(Strict):
    kind: Literal["cash"]
    amount: Decimal


Payment = Annotated[Card | Cash, Discriminator("kind")]


def kind_of(value: Any) -> Any:
    """Return a value with the name of its type, and inside containers likewise."""
    if isinstance(value, dict):
        return {name: kind_of(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return f"{type(value).__name__} of {', '.join(repr(kind_of(inner)) for inner in value)}"
    if isinstance(value, set | frozenset):
        return f"{type(value).__name__} of {', '.join(sorted(repr(kind_of(i)) for i in value))}"
    if isinstance(value, BaseModel) or hasattr(value, "__dataclass_fields__"):
        return kind_of(dict(vars(value)))
    return f"{type(value).__name__} {value!s}"


# -- payloads --------------------------------------------------------------------------------------


@app.handler
async def order(payload: Order) -> Any:
    return kind_of(payload)


@app.handler
async def payment(payload: Payment) -> Any:
    return kind_of(payload)


@app.handler
async def uuid(payload: UUID) -> str:
    return kind_of(payload)


@app.handler
async def moment(payload: datetime | str) -> str:
    return kind_of(payload)


@app.handler
async def triple(payload: tuple[int, str, Colour]) -> str:
    return kind_of(payload)


@app.handler
async def strict_number(payload: Annotated[int, Field(strict=True)]) -> str:
    return kind_of(payload)


@app.handler
async def untyped(payload: Any) -> Any:
    return payload


# -- configs ---------------------------------------------------------------------------------------


class Loose(BaseModel):
    model_config = ConfigDict(extra="allow")

    exact: Decimal | None = None
    json_value: JsonValue = None
    anything: Any = None
    either: int | float | str | bool | None = None
    table: dict[str, Any] = {}
    whole: int | None = None
    fraction: float | None = None
    unique: set[int] = set()
    logo: bytes = b""


class Exact(Strict):
    price: Decimal
    rates: list[Decimal] = []
    count: int = 0
    share: float = 0.0
    id: UUID | None = None
    since: datetime | None = None
    colour: Colour | None = None
    tags: set[str] = set()
    logo: bytes = b""
    more: dict[str, Any] = {}


@dataclass
class Rate:
    limit: int | None = None
    burst: Decimal | None = None


@app.handler
async def loose(config: Loose) -> Any:
    return {name: kind_of(value) for name, value in config if value not in (None, {}, b"", set())}


@app.handler
async def exact(config: Exact) -> Any:
    return {name: kind_of(value) for name, value in config if value not in (None, {}, b"", set())}


@app.handler
async def prices(config: dict[str, Decimal]) -> Any:
    return kind_of(config)


@app.handler
async def any_json(config: dict[str, JsonValue]) -> Any:
    return config


@app.handler
async def rate(config: Rate) -> Any:
    return kind_of(config)


@app.handler
async def pay_by(config: Payment) -> Any:
    return kind_of(config)
