"""Which types take a payload the quick way, and that this changes nothing."""

import re
from dataclasses import dataclass
from decimal import Decimal
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    ValidationInfo,
    WrapValidator,
    create_model,
)
from pydantic_core import to_json
from typing_extensions import TypedDict

from worker.execution.validation import config_validator, payload_validator
from worker.jobs.config_item import ConfigItem

pytestmark = pytest.mark.once


class Image(BaseModel):
    a: str
    b: int = 3
    type: float | None = None


class Tree(BaseModel):
    a: list["Tree"] = []
    b: dict[str, Any] = {}


@dataclass
class Point:
    a: int
    b: float = 0.5


class Movie(TypedDict, total=False):
    a: str
    b: bool


class One(BaseModel):
    a: Literal["one"]
    b: int


class Two(BaseModel):
    a: Literal["two"]
    b: str


QUICK: list[Any] = [
    *(int, float, str, bool, list, dict, list[int], dict[str, int], dict[int, str], object),
    *(int | str, float | None, str | int | None, bool | int, list[int | str] | str),
    *(Image, Tree, Point, Movie, One | Two | int, Annotated[One | Two, Discriminator("a")]),
    Annotated[int, Field(gt=3), AfterValidator(lambda number: number + 1)],
]


class StrictImage(Image):
    model_config = ConfigDict(strict=True)


class Within(BaseModel):
    inner: list[StrictImage]


@dataclass
class Price:
    a: Decimal


def with_info(value: Any, handler: Any, info: ValidationInfo) -> Any:
    return info.mode


AS_JSON: list[Any] = [
    *(UUID, bytes, tuple[int, str], set[int], Decimal, Literal[1, 2], StrictImage, Within, Price),
    *(list[UUID], UUID | str, Annotated[int, Field(strict=True)]),
    Annotated[Any, WrapValidator(with_info)],
]

scalars = st.none() | st.booleans() | st.integers() | st.floats(-1e9, 1e9)
texts = st.sampled_from(["", "1", "1.5", "true", "one", "two", "x", "2026-11-01"])
values = st.recursive(
    scalars | texts | st.sampled_from([10**30, 1.0, -0.0, 0, 1]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b", "type", "1"]), inner, max_size=3)
    ),
    max_leaves=6,
)


def outcome(validate: Any, value: Any) -> str:
    try:
        valid = validate(value)
    except ValidationError as error:
        return f"refused: {sorted({problem['loc'] for problem in error.errors()}, key=str)}"
    return repr(valid)


def named(annotation: object) -> str:
    """Name a test for its type, without the addresses of functions in it: those differ between
    the processes of pytest-xdist."""
    return re.sub(r" at 0x\w+", "", str(annotation))


@pytest.mark.parametrize("annotation", QUICK, ids=named)
def test_a_type_that_is_the_same_from_python_is_spared_the_json(annotation: Any) -> None:
    assert payload_validator(annotation).__name__ == "validate_python"


@pytest.mark.parametrize("annotation", AS_JSON, ids=named)
def test_any_other_type_is_validated_as_json(annotation: Any) -> None:
    assert payload_validator(annotation).__name__ != "validate_python"


@pytest.mark.parametrize("annotation", QUICK + AS_JSON, ids=named)
@given(value=values)
def test_a_payload_is_what_its_json_is(annotation: Any, value: Any) -> None:
    as_json = TypeAdapter(annotation).validator.validate_json
    quick = outcome(payload_validator(annotation), value)
    assert quick == outcome(lambda value: as_json(to_json(value)), value)


def test_a_validator_that_asks_hears_of_json() -> None:
    assert payload_validator(Annotated[Any, WrapValidator(with_info)])(5) == "json"


# -- configs ---------------------------------------------------------------------------------------

decimals = st.decimals(
    allow_nan=False, allow_infinity=False, places=30, min_value=-99, max_value=99
)


def item(**attributes: Any) -> ConfigItem:
    return ConfigItem("k", attributes, 0, key_attribute="key", absence_confirmed=True)


class Exact(BaseModel):
    model_config = ConfigDict(strict=True, extra="allow")

    prices: list[Decimal]
    shares: list[float]


@given(st.lists(decimals, max_size=4))
def test_decimals_keep_every_digit_and_floats_are_plain(numbers: Any) -> None:
    attributes = {"prices": numbers, "shares": numbers, "more": {"numbers": numbers}}
    valid = config_validator(Exact)(item(**attributes))
    assert valid.prices == numbers
    assert {type(number) for number in valid.prices} <= {Decimal}
    assert valid.shares == [float(number) for number in numbers]
    assert {type(number) for number in valid.more["numbers"]} <= {int, float}


@pytest.mark.parametrize(
    ("annotation", "kind"),
    [
        (Any, float),
        (JsonValue, float),
        (float, float),
        (Decimal, Decimal),
        (Decimal | None, Decimal),
        (Decimal | str, Decimal),
        (str | Decimal, Decimal),
        (int | Decimal, Decimal),
        (int | float, float),
        (float | str, float),
        (Decimal | float, float),  # as of any JSON number
        (float | Decimal, float),
        (float | dict[str, Decimal], float),
    ],
    ids=named,
)
def test_no_float_of_ours_reaches_a_handler(annotation: Any, kind: Any) -> None:
    number = Decimal("0.12345678901234567890123456789")
    for other in (Any, Decimal):
        item_type = create_model("Item", n=annotation, others=list[other])  # type: ignore[valid-type]
        valid = config_validator(item_type)(item(n=number, others=[number], logo=b"\xff"))
        assert type(valid.n) is kind
        assert valid.n == kind(number)
        assert type(valid.others[0]) is (Decimal if other is Decimal else float)
