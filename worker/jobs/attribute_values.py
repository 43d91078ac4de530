"""Attribute values as DynamoDB's JSON has them, such as {"N": "1.5"}, to Python values.

Anything may stand in an item: what DynamoDB would refuse, and what only looks like DynamoDB's. So
every value is checked, and an error says where it is and what is wrong, and never quotes it.
"""

import re
from base64 import b64decode
from collections.abc import Callable, Mapping
from decimal import Decimal
from typing import Any

# DynamoDB allows 32 levels. Others allow more, and Python's recursion fails at some hundreds.
_MOST_LEVELS = 100
# DynamoDB holds 38 digits, between 1e-130 and 1e126: written out, that is never longer than this.
_LONGEST_NUMBER = 200
_SMALLEST, _LARGEST = -130, 125  # exponents of the first digit
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d{1,4})?", re.ASCII).fullmatch
_MOST_NAMES = 5  # of a path, in an error
_LONGEST_NAME = 60  # characters
# In place of a value that was not parsed, for it is nested too deeply for a JSON parser.
TOO_DEEP = object()

Number = Callable[[Any], Any]


class Unusable(ValueError):
    """A value that no handler can be given. The message says where it is and what is wrong."""

    def __init__(self, why: str) -> None:
        self._why = why
        self._path: list[str] = []

    def within(self, name: object) -> "Unusable":
        """Add the name of the attribute, or the index, that holds what `self` is about."""
        self._path.insert(0, str(name))
        return self

    def __str__(self) -> str:
        names = [_shown(name) for name in self._path[:_MOST_NAMES]]
        if len(self._path) > _MOST_NAMES:
            names.append("…")
        return f"{'.'.join(names)}: {self._why}" if names else self._why


def decoded(raw: Mapping[str, Any], number: Number) -> dict[str, Any]:
    """Return the attributes of a whole item; `number` converts numbers. Raise Unusable.

    Binary becomes `bytes`, sets become sets.
    """
    return _map(raw, number, 0)


def exact_number(text: Any) -> Decimal:
    """Return the number with all its digits. Raise Unusable where DynamoDB can't hold it."""
    if type(text) is str and len(text) <= _LONGEST_NUMBER and _NUMBER(text):
        value = Decimal(text)  # exact: digits beyond a context's precision are kept
        if not value:
            return Decimal(0)
        if _SMALLEST <= value.adjusted() <= _LARGEST:
            return value
    raise Unusable("not a number that DynamoDB can hold")


def plain_number(text: Any) -> int | float:
    """Return the number as `int` where it is whole, else as `float`. Raise Unusable."""
    if type(text) is str and len(text) <= _LARGEST and text.isascii() and text.isdigit():
        return int(text)
    return int_or_float(exact_number(text))


def int_or_float(number: Decimal) -> int | float:
    """Return an `int` where the number is whole, else the nearest `float`."""
    return int(number) if number == number.to_integral_value() else float(number)


def _value(raw: Any, number: Number, level: int) -> Any:
    if raw is TOO_DEEP or level > _MOST_LEVELS:
        raise Unusable(f"nested more than {_MOST_LEVELS} levels deep")
    if type(raw) is not dict or len(raw) != 1:
        raise Unusable("not a value with one type")
    ((kind, content),) = raw.items()
    if kind == "S":
        return _text(content)
    if kind == "N":
        return number(content)
    convert = _KINDS.get(kind)
    if convert is None:
        raise Unusable("of a type that is not known")
    return convert(content, number, level)


def _text(content: Any) -> str:
    if type(content) is not str:
        raise Unusable("not a text")
    if not content.isascii():
        try:
            content.encode()
        except UnicodeEncodeError:
            raise Unusable("a text with half a character (a lone surrogate)") from None
    return content


def _map(content: Any, number: Number, level: int) -> dict[str, Any]:
    if not isinstance(content, Mapping):
        raise Unusable("not a map")
    values: dict[str, Any] = {}
    name: Any = ""
    try:
        for name, raw in content.items():
            values[_text(name)] = _value(raw, number, level + 1)
    except Unusable as error:
        raise error.within(name) from None
    return values


def _list(content: Any, number: Number, level: int) -> list[Any]:
    if type(content) is not list:
        raise Unusable("not a list")
    values: list[Any] = []
    try:
        for raw in content:
            values.append(_value(raw, number, level + 1))  # noqa: PERF401 - its length is the index
    except Unusable as error:
        raise error.within(len(values)) from None
    return values


def _bytes(content: Any) -> bytes:
    if type(content) is str:
        try:
            return b64decode(content, validate=True)
        except ValueError:
            pass
    raise Unusable("not binary in base64")


def _bool(content: Any, _number: Number, _level: int) -> bool:
    if type(content) is not bool:
        raise Unusable("not true or false")
    return content


def _null(content: Any, _number: Number, _level: int) -> None:
    if type(content) is not bool:
        raise Unusable("not a null")


def _set(content: Any, convert: Callable[[Any], Any]) -> set[Any]:
    if type(content) is not list:
        raise Unusable("not a set")
    return {convert(member) for member in content}


_KINDS: dict[str, Callable[[Any, Number, int], Any]] = {
    "M": _map,
    "L": _list,
    "BOOL": _bool,
    "NULL": _null,
    "B": lambda content, _number, _level: _bytes(content),
    "SS": lambda content, _number, _level: _set(content, _text),
    "NS": lambda content, number, _level: _set(content, number),
    "BS": lambda content, _number, _level: _set(content, _bytes),
}


def _shown(name: str) -> str:
    """A name fit for logs and results, whatever is in it."""
    shown = "".join(char if char.isprintable() else repr(char)[1:-1] for char in name)
    return shown if len(shown) <= _LONGEST_NAME else f"{shown[:_LONGEST_NAME]}…"
