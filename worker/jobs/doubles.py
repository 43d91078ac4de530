"""Numbers as JSON readers know them: doubles, and integers that were written as doubles."""

import math
import re
from typing import Any

_LARGEST_DOUBLE = 1.7976931348623157e308
_DIGITS_OF_LARGEST = 309
_QUICK_LOOK_BYTES = 4096

# Every digit becomes "0"; in a shape, every exponent sign "e" too.
_DIGITS = bytes(ord("0") if chr(byte).isdecimal() else ord(" ") for byte in range(256))
_SHAPE = bytes(ord("e") if chr(byte) in "eE" else _DIGITS[byte] for byte in range(256))
_TOO_LONG_RUN = b"0" * _DIGITS_OF_LARGEST

# Each byte is looked at once: an unfinished string is one token up to the end of the text.
STRING = rb'"(?:[^"\\]|\\.)*+(?:"|\\?\Z)'
_NUMBER = re.compile(STRING + rb"|([0-9]++)([.eE][-+.eE0-9]*+)?", re.DOTALL)


def as_integer(value: Any) -> Any:
    """Return a whole number as an `int`, anything else as it is.

    To Lua, PHP and JavaScript 1.7e12 and 1700000000000.0 are the integer 1700000000000.
    """
    return int(value) if type(value) is float and value.is_integer() else value


def exceeds_doubles(raw: bytes, fields: dict[str, Any]) -> bool:
    """Return whether a number in `raw` is beyond what a double holds. `fields` is `raw` decoded.

    Only an exponent of three digits, or some 200 digits, can be. So one quick look clears nearly
    every job, at a third of the price of looking at each value.
    """
    if len(raw) <= _QUICK_LOOK_BYTES:
        shape = raw.translate(_SHAPE, b"+")
        if b"0e000" not in shape and b"0" * 200 not in shape:
            return False
    return not _is_finite(fields) or _has_long_integer(raw)


def _is_finite(fields: dict[str, Any]) -> bool:
    """Return whether no float in `fields` is infinite: the parser reads 1e400 as infinity."""
    stack: list[Any] = [fields]
    while stack:
        value = stack.pop()
        for item in value.values() if type(value) is dict else value:
            kind = type(item)
            if kind is float:
                if not math.isfinite(item):
                    return False
            elif kind is dict or kind is list:
                stack.append(item)
    return True


def _has_long_integer(raw: bytes) -> bool:
    """Return whether `raw` holds an integer beyond the largest double.

    A run of 309 digits covers six neighbours of every fiftieth byte, so a look at a fiftieth of a
    long text clears most. The slow look tells integers from digits in strings and fractions.
    """
    if b"000000" not in raw[::50].translate(_DIGITS):
        return False
    if _TOO_LONG_RUN not in raw.translate(_DIGITS):
        return False
    return any(
        int(digits[:400]) > _LARGEST_DOUBLE
        for digits, fraction in _NUMBER.findall(raw)
        if len(digits) >= _DIGITS_OF_LARGEST and not fraction
    )
