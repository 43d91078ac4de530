"""Payloads and configs, validated into a handler's types as the JSON that they are.

JSON has no UUID, date, set or tuple. Pydantic takes them from JSON's strings and arrays even where
a type is strict, but not from Python's. So what is validated here is JSON text, unless the type is
one for which that makes no difference.
"""

from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import Any

from pydantic import TypeAdapter
from pydantic_core import to_json

from worker.jobs.attribute_values import int_or_float
from worker.jobs.config_item import ConfigItem

# Nodes of pydantic's schemas that take the same from a Python value as from its JSON, if they are
# not strict.
_SAME_FROM_PYTHON = frozenset(
    {
        *("any", "bool", "dict", "float", "int", "list", "none", "str"),
        *("dataclass", "dataclass-args", "dataclass-field"),
        *("model", "model-field", "model-fields", "typed-dict", "typed-dict-field"),
        *("default", "definition-ref", "definitions", "nullable", "tagged-union", "union"),
        *("function-after", "function-before", "function-plain", "function-wrap", "no-info"),
    }
)
_NO_SCHEMAS = frozenset({"computed_fields", "default", "metadata", "serialization"})


def payload_validator(annotation: Any) -> Callable[[Any], Any]:
    """Return a function that validates a payload. Raise PydanticUserError for unusable types.

    To write a small payload as JSON once more and read it takes 1 µs, text of 100 kB 50 µs. Types
    that are the same from Python are spared that.
    """
    adapter = TypeAdapter(annotation)
    if _is_same_from_python(adapter.core_schema):
        return adapter.validator.validate_python
    validate_json = adapter.validator.validate_json
    return lambda payload: validate_json(to_json(payload))


def config_validator(annotation: Any) -> Callable[[ConfigItem], Any]:
    """Return a function that validates a config. Raise PydanticUserError for unusable types.

    Numbers are exact where the type asks for `Decimal`, and `int` or `float` everywhere else. A set
    becomes a set where the type asks for one, else a list.
    """
    adapter = TypeAdapter(annotation)
    validator = adapter.validator
    asks_for_decimals = "decimal" in node_types(adapter.core_schema)

    def validate(item: ConfigItem) -> Any:
        """JSON holds nearly every item. If not, JSON's rules are checked first where they can be,
        then the value is taken from Python. That is not strict, as strict types refuse too much.
        """
        beyond_json: list[ExactFloat | bytes] = []
        value = _as_json(item.exact if asks_for_decimals else item.plain, beyond_json)
        exact = [number for number in beyond_json if isinstance(number, ExactFloat)]
        if len(exact) == len(beyond_json):
            valid = validator.validate_json(to_json(value))
            if not exact:
                return valid
        valid = validator.validate_python(value, strict=False)
        if all(number.is_read for number in exact):
            return valid
        return validator.validate_python(_without_unread(value), strict=False)

    return validate


class ExactFloat(float):
    """A float that stands for a number with more digits than a float holds.

    Its text has all of them, and pydantic makes a Decimal from a float's text. `is_read` is whether
    it has: one that was not read is replaced by a plain float, so that handlers get none (but for a
    union of Any with a type that asks for Decimal).
    """

    digits: str
    is_read: bool

    def __str__(self) -> str:
        self.is_read = True
        return self.digits


def _as_json(value: Any, beyond_json: list[ExactFloat | bytes]) -> Any:
    """Return an item's value as JSON has it, and collect the values that JSON can't hold."""
    if isinstance(value, Decimal):
        number = _number(value)
        if isinstance(number, ExactFloat):
            beyond_json.append(number)
        return number
    if isinstance(value, dict):
        return {name: _as_json(inner, beyond_json) for name, inner in value.items()}
    if isinstance(value, list):
        return [_as_json(inner, beyond_json) for inner in value]
    if isinstance(value, set):  # sorted, so that it has one order in all processes
        return [_as_json(inner, beyond_json) for inner in sorted(value)]
    if isinstance(value, bytes):
        beyond_json.append(value)
    return value


def _number(value: Decimal) -> int | float:
    number = int_or_float(value)
    if isinstance(number, int) or Decimal(repr(number)) == value:
        return number
    exact = ExactFloat(number)
    exact.digits, exact.is_read = str(value), False
    return exact


def _without_unread(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _without_unread(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_without_unread(inner) for inner in value]
    return float(value) if isinstance(value, ExactFloat) and not value.is_read else value


def _is_same_from_python(schema: Any) -> bool:
    """Return whether all of a type takes the same from a Python value as from its JSON."""
    return node_types(schema) <= _SAME_FROM_PYTHON


def node_types(schema: Any) -> set[str]:
    """Return the types of all nodes in one of pydantic's schemas, and "strict" where one is."""
    found: set[str] = set()
    for node in nodes_of(schema):
        kind = node.get("type")
        if kind == "literal" and all(type(value) is str for value in node["expected"]):
            kind = "str"
        if isinstance(kind, str):
            found.add(kind)
        if node.get("strict"):
            found.add("strict")
    return found


def nodes_of(schema: Any) -> Iterator[dict[str, Any]]:
    """Return all nodes of one of pydantic's schemas."""
    nodes = [schema]
    while nodes:
        node = nodes.pop()
        if isinstance(node, dict):
            yield node
            nodes += [inner for name, inner in node.items() if name not in _NO_SCHEMAS]
        elif isinstance(node, list | tuple):
            nodes += node
