"""DynamoDB's attribute values to Python's: exact where they are good, named where they are bad."""

import json
import tracemalloc
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.types import Binary, TypeDeserializer, TypeSerializer
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.config.fakes import each, nested
from worker.jobs.attribute_values import (
    TOO_DEEP,
    Unusable,
    decoded,
    exact_number,
    plain_number,
)
from worker.jobs.stored_attributes import StoredAttributes

pytestmark = pytest.mark.once

serialize = TypeSerializer().serialize
deserialize = TypeDeserializer().deserialize


def stored(raw: Any, *, separators: tuple[str, str] = (",", ":")) -> StoredAttributes:
    return StoredAttributes(json.dumps(raw, separators=separators), raw)


# -- good values -----------------------------------------------------------------------------------

texts = st.text('aü漢😀\n"\\', max_size=8)
numbers = st.integers(-(10**38) + 1, 10**38 - 1).map(Decimal) | st.decimals(-999, 999, places=30)
leaves = st.none() | st.booleans() | texts | numbers
sets = st.sets(texts, min_size=1)
values = st.recursive(
    leaves | sets | st.sets(numbers, min_size=1),
    lambda inner: st.lists(inner) | st.dictionaries(st.text("abc", min_size=1), inner),
    max_leaves=20,
)


def serialized(item: dict[str, Any]) -> dict[str, Any] | None:
    """The item as DynamoDB has it, or None where it can't hold it."""
    try:
        return {name: serialize(value) for name, value in item.items()}
    except ArithmeticError:
        return None


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text("abc", min_size=1), values))
def test_what_dynamodb_holds_is_decoded_as_the_sdk_does(item: dict[str, Any]) -> None:
    raw = serialized(item)
    if raw is not None:
        expected = {name: deserialize(value) for name, value in raw.items()}
        assert decoded(raw, exact_number) == expected
        assert stored(raw).exact() == expected
        assert stored(raw).problem is None


def test_binary_becomes_bytes() -> None:
    raw = {"one": {"B": "AP8="}, "set": {"BS": ["AA==", "AP8="]}}
    assert decoded(raw, exact_number) == {"one": b"\x00\xff", "set": {b"\x00", b"\x00\xff"}}
    assert Binary(b"\x00\xff") == decoded(raw, exact_number)["one"]


@pytest.mark.parametrize(
    ("text", "exact", "plain"),
    [
        ("1e100", Decimal("1e100"), 10**100),
        ("1" + "0" * 100, Decimal(10**100), 10**100),
        ("9" * 38, Decimal("9" * 38), int("9" * 38)),
        ("9" * 38 + "0" * 88, Decimal("9" * 38 + "0" * 88), int("9" * 38 + "0" * 88)),
        ("0." + "1" * 38, Decimal("0." + "1" * 38), float("0." + "1" * 38)),
        ("1e-130", Decimal("1e-130"), 1e-130),
        ("-1.50", Decimal("-1.50"), -1.5),
        ("+5", Decimal(5), 5),
        ("3.0", Decimal("3.0"), 3),
        (".5", Decimal("0.5"), 0.5),
        ("5.", Decimal(5), 5),
        ("007", Decimal(7), 7),
        ("0", Decimal(0), 0),
        ("-0", Decimal(0), 0),
        ("0e9999", Decimal(0), 0),
    ],
)
def test_a_number_keeps_all_its_digits(text: str, exact: Decimal, plain: float) -> None:
    assert exact_number(text) == exact
    assert exact_number(text).as_tuple().digits == exact.as_tuple().digits
    assert plain_number(text) == plain
    assert type(plain_number(text)) is type(plain)


# -- bad values ------------------------------------------------------------------------------------

SECRET = "hunter2"
NO_NUMBER = "not a number that DynamoDB can hold"
BAD: list[tuple[Any, str]] = [
    *(
        ({"N": text}, f"a: {NO_NUMBER}")
        for text in each(
            *("Infinity", "-Infinity", "NaN", "sNaN", "inf", "", " ", "1 ", " 1", "1_000", "0x10"),
            *(
                "\u0661",
                "\uff11",
                "1e126",
                "-1e126",
                "1e-131",
                "1e400",
                "1e99999999999",
                "1e",
                "e5",
                ".",
                "-",
            ),
            *("1,5", "hunter2", "1" * 201, "1\n", None, 5, 1.5, True, [], {}, ["1"]),
        )
    ),
    *(
        ({"S": value}, "a: not a text")
        for value in each(None, 5, True, [], {"S": SECRET}, [SECRET])
    ),
    *(
        ({"S": text}, "a: a text with half a character (a lone surrogate)")
        for text in each("\ud800", "x\udfff", "hunter2\ud83d", "\udc00\ud800")
    ),
    ({"SS": ["fine", "\ud800"]}, "a: a text with half a character (a lone surrogate)"),
    ({"NS": ["1", "Infinity"]}, f"a: {NO_NUMBER}"),
    ({"BS": ["AA==", "!"]}, "a: not binary in base64"),
    *(({kind: 5}, "a: not a set") for kind in ("SS", "NS", "BS")),
    *(({kind: {}}, "a: not a set") for kind in ("SS", "NS", "BS")),
    *(({kind: SECRET}, "a: not a set") for kind in ("SS", "NS", "BS")),
    *(({"SS": [value]}, "a: not a text") for value in each(None, 5, [], {"S": "x"})),
    *(({"NS": [value]}, f"a: {NO_NUMBER}") for value in each(None, 5, [], {"N": "1"}, SECRET)),
    *(
        ({"B": value}, "a: not binary in base64")
        for value in each("!", "AAA", "ü", 5, None, [], "\ud800")
    ),
    *(({"BOOL": value}, "a: not true or false") for value in each("true", 1, None, [])),
    *(({"NULL": value}, "a: not a null") for value in each("true", 1, None, [])),
    *(({"L": value}, "a: not a list") for value in each(None, 5, SECRET, {}, {"0": {"S": SECRET}})),
    *(({"M": value}, "a: not a map") for value in each(None, 5, SECRET, [], [{"S": SECRET}])),
    *(
        (value, "a: not a value with one type")
        for value in each(None, 5, SECRET, True, [], {}, {"S": "x", "N": "1"}, [{"S": SECRET}])
    ),
    *(
        ({kind: SECRET}, "a: of a type that is not known")
        for kind in ("X", "s", "", "STR", "\ud800")
    ),
    ({"SDK_UNKNOWN_MEMBER": {"name": "X"}}, "a: of a type that is not known"),
    ({"L": [{"S": "x"}, {"M": {"b": {"L": [{"N": SECRET}]}}}]}, f"a.1.b.0: {NO_NUMBER}"),
    ({"M": {"b": {"M": {"c": SECRET}}}}, "a.b.c: not a value with one type"),
    ({"M": {"x\ud800": {"S": "x"}}}, "a.x\\ud800: a text with half a character (a lone surrogate)"),
    ({"M": {"x\n\x1b[1m": 5}}, "a.x\\n\\x1b[1m: not a value with one type"),
    ({"M": {"x" * 100: 5}}, f"a.{'x' * 60}…: not a value with one type"),
    (TOO_DEEP, "a: nested more than 100 levels deep"),
    (nested(101), "a.0.0.0.0.…: nested more than 100 levels deep"),
    (nested(101, "M"), "a.deeper.deeper.deeper.deeper.…: nested more than 100 levels deep"),
    (nested(300), "a.0.0.0.0.…: nested more than 100 levels deep"),
]


@pytest.mark.parametrize(("raw", "message"), BAD)
def test_a_bad_value_is_named_and_not_quoted(raw: Any, message: str) -> None:
    for number in (exact_number, plain_number):
        with pytest.raises(Unusable) as raised:
            decoded({"fine": {"S": "x"}, "a": raw}, number)
        assert str(raised.value) == message
        message.encode()
        assert SECRET not in message


def test_a_hundred_levels_can_be_used() -> None:
    attributes = stored({"a": nested(99), "b": nested(99, "M")})
    assert attributes.problem is None
    assert attributes.exact() == attributes.plain


raw_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(st.text() | st.sampled_from(["S", "N", "M", "L", "SS", "NS"]), inner)
    ),
    max_leaves=10,
)


@settings(max_examples=30, deadline=None)
@given(st.dictionaries(st.text(), raw_json))
def test_whatever_an_item_holds_is_decoded_or_named(raw: dict[str, Any]) -> None:
    attributes = stored(raw)
    if attributes.problem is None:
        json.dumps(attributes.plain, default=str).encode()
        assert attributes.exact().keys() == raw.keys()
    else:
        attributes.problem.encode()
        assert attributes.problem.isprintable()
        assert len(attributes.problem) < 500
        assert (attributes.plain, attributes.exact(), len(attributes)) == ({}, {}, 0)


# -- as it is kept ---------------------------------------------------------------------------------


def test_the_order_of_names_makes_no_other_item() -> None:
    raw = {"a": {"N": "1"}, "b": {"M": {"c": {"S": "x"}, "d": {"NULL": True}}}}
    other = {"b": {"M": {"d": {"NULL": True}, "c": {"S": "x"}}}, "a": {"N": "1"}}
    kept = stored(raw)
    assert kept.is_same(json.dumps(other), other)
    for changed in ({**raw, "a": {"N": "1.0"}}, {"a": {"N": "1"}}, {**raw, "c": {"S": ""}}, {}):
        assert not kept.is_same(json.dumps(changed), changed)


def test_an_item_that_can_not_be_used_is_the_same_only_to_the_letter() -> None:
    kept = stored({"a": {"N": "Infinity"}})
    assert kept.is_same(kept.text, {"a": {"N": "Infinity"}})
    assert not kept.is_same("{}", {})
    assert kept.digest != stored({"a": {"N": "NaN"}}).digest


SHAPES: dict[str, Any] = {
    "whole numbers": list(range(10**6, 10**6 + 8_000)),
    "fractions": [Decimal(f"0.{n + 1}") for n in range(6_000)],
    "texts": [f"text {n}" for n in range(6_000)],
    "long texts": ["x" * 1_000 + str(n) for n in range(100)],
    "other alphabets": ["漢字" * 100 + str(n) for n in range(100)],
    "maps": [{"a": n, "b": str(n)} for n in range(2_000)],
    "maps in maps": [{"a": {"b": {"c": n}}} for n in range(1_500)],
    "one map": {f"name {n}": n for n in range(4_000)},
    "a set": {f"member {n}" for n in range(6_000)},
    "empty lists": [[] for _ in range(6_000)],
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_estimate_of_an_items_size_is_fair_and_it_is_kept_once(shape: str) -> None:
    raw = {"a": serialize(SHAPES[shape])}
    text = json.dumps(raw, separators=(",", ":"))
    tracemalloc.start()
    try:
        kept = StoredAttributes(text, json.loads(text))
        kept.exact()
        size = tracemalloc.get_traced_memory()[0] + len(text)
    finally:
        tracemalloc.stop()
    assert kept.problem is None
    assert 0.7 * size < kept.size < 2 * size
    # It took 77 times its text, when it was kept four times with numbers as `Decimal`.
    assert size < 17 * len(text)
