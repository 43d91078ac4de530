"""A payload to try a handler with, made from the JSON Schema of its type."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter

from worker.app import App

_DEEPEST = 8
_BY_FORMAT = {
    "date": "2026-01-31",
    "date-time": "2026-01-31T12:00:00Z",
    "duration": "PT1M",
    "email": "ada@example.com",
    "ipv4": "192.0.2.1",
    "time": "12:00:00Z",
    "uri": "https://example.com/",
    "uuid": "6f1d1f6e-8a34-4c1e-9d0e-3f2b8f1c2a10",
}
_BY_NAME = {
    "url": "https://example.com/",
    "uri": "https://example.com/",
    "email": "ada@example.com",
}


@dataclass(frozen=True)
class Sample:
    """How to try one handler. `takes_payload` and `takes_config` say what it needs."""

    handler: str
    takes_payload: bool
    takes_config: bool
    payload: Any
    config: Any


def write_samples(app: App, path: str) -> None:
    """Write a sample for each handler to a file."""
    Path(path).write_text(json.dumps([asdict(each) for each in samples(app)]))


def read_samples(path: Path) -> list[Sample]:
    """Return what `write_samples` wrote; none where there is no such file (yet)."""
    if not path.exists():
        return []
    return [Sample(**fields) for fields in json.loads(path.read_text())]


def samples(app: App) -> list[Sample]:
    """Return a sample for each handler."""
    found = []
    for handler in app.handlers.values():
        handler.resolve()
        found.append(
            Sample(
                handler.name,
                takes_payload="payload" in handler.takes,
                takes_config="config" in handler.takes,
                payload=_of_type(handler.payload_type),
                config=_of_type(handler.config_type),
            )
        )
    return found


def _of_type(annotation: Any) -> Any:
    """Return a value of this type; {} where its schema does not say what it may be."""
    try:
        schema = TypeAdapter(annotation).json_schema(mode="validation")
    except Exception:  # noqa: BLE001 - any code of users'; the worker says what is wrong with a type
        return {}
    return value_of(schema, schema.get("$defs", {}))


def value_of(
    schema: Mapping[str, Any], defs: Mapping[str, Any], name: str = "", deep: int = 0
) -> Any:
    """Return a small value that the schema takes. `name` is that of the field it is for."""
    for word in ("examples", "enum"):
        if schema.get(word):
            return schema[word][0]
    for word in ("const", "default"):
        if word in schema:
            return schema[word]
    if "$ref" in schema:
        return (
            value_of(_target(schema["$ref"], defs), defs, name, deep + 1) if deep < _DEEPEST else {}
        )
    for word in ("anyOf", "oneOf", "allOf"):
        if word in schema:
            return value_of(schema[word][0], defs, name, deep + 1)
    return _of_kind(schema, defs, name, deep)


def _target(reference: str, defs: Mapping[str, Any]) -> Mapping[str, Any]:
    target: Mapping[str, Any] = defs.get(reference.rpartition("/")[2], {})
    return target


def _of_kind(schema: Mapping[str, Any], defs: Mapping[str, Any], name: str, deep: int) -> Any:
    kind = schema.get("type")
    if kind == "string":
        return _text(schema, name)
    if kind in ("integer", "number"):
        return _number(schema)
    if kind == "array":
        parts = schema.get("prefixItems") or [schema.get("items", {})] * schema.get("minItems", 0)
        return [value_of(part, defs, name, deep + 1) for part in parts]
    if kind in ("boolean", "null"):
        return True if kind == "boolean" else None
    properties = schema.get("properties", {})
    return {
        field: value_of(properties.get(field, {}), defs, field, deep + 1)
        for field in schema.get("required", ())
    }


def _text(schema: Mapping[str, Any], name: str) -> str:
    by_name = _BY_NAME.get(name.lower().rpartition("_")[2], name or "text")
    text: str = _BY_FORMAT.get(schema.get("format", ""), by_name)
    return text.ljust(schema.get("minLength", 0), "x")[: schema.get("maxLength")]


def _number(schema: Mapping[str, Any]) -> Any:
    """Return 1, or what is next to it within the limits."""
    number = schema.get("multipleOf", 1)
    number = max(number, schema.get("minimum", number), schema.get("exclusiveMinimum", 0) + 1)
    return min(
        number, schema.get("maximum", number), schema.get("exclusiveMaximum", number + 1) - 1
    )
