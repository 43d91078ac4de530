"""Items as `worker config` takes and prints them: exact JSON, and no secret on a terminal."""

import json
import re
from base64 import b64encode
from decimal import Decimal
from typing import TYPE_CHECKING, Any, NoReturn

import typer

if TYPE_CHECKING:
    from worker.settings import Settings

# A number of this many digits at most is written out, without an exponent.
_PLAIN_DIGITS = 40
_SECRET_NAME = re.compile("secret|password|passwd|token|apikey|private|credential").search
_MASK = "***"


def masked(value: Any) -> Any:
    """Return the value without those of attributes that are named like a secret."""
    if isinstance(value, dict):
        return {name: _MASK if _is_secret(name) else masked(inner) for name, inner in value.items()}
    return [masked(inner) for inner in value] if isinstance(value, list) else value


def _is_secret(name: str) -> bool:
    return bool(_SECRET_NAME(re.sub(r"[-_. ]", "", name.lower())))


def as_json(value: Any) -> Any:
    """Return what JSON shows of a value: sets as arrays, binary in base64."""
    if isinstance(value, dict):
        return {name: as_json(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [as_json(inner) for inner in value]
    if isinstance(value, set):
        return as_json(sorted(value))
    return b64encode(value).decode() if isinstance(value, bytes) else value


def json_text(value: Any, *, indent: int | None = None, level: int = 0) -> str:
    """Return JSON with every digit of a number, sets as arrays, binary in base64.

    With `indent` each member has a line of its own, indented by so many spaces for each level.
    """

    def inner(value: Any) -> str:
        return json_text(value, indent=indent, level=level + 1)

    if isinstance(value, dict):
        colon = ":" if indent is None else ": "
        parts = [f"{json_text(name)}{colon}{inner(each)}" for name, each in value.items()]
        return _enclosed("{}", parts, indent, level)
    if isinstance(value, list):
        return _enclosed("[]", [inner(each) for each in value], indent, level)
    if isinstance(value, set | bytes):
        return json_text(as_json(value), indent=indent, level=level)
    if isinstance(value, Decimal):
        return format(value, "f") if abs(value.adjusted()) < _PLAIN_DIGITS else str(value)
    return json.dumps(value, ensure_ascii=False)


def _enclosed(brackets: str, parts: list[str], indent: int | None, level: int) -> str:
    if indent is None or not parts:
        return f"{brackets[0]}{','.join(parts)}{brackets[1]}"
    line = "\n" + " " * indent * (level + 1)
    end = "\n" + " " * indent * level
    return f"{brackets[0]}{line}{(',' + line).join(parts)}{end}{brackets[1]}"


def parsed(text: bytes | str) -> dict[str, Any]:
    """Parse an item, its numbers exact."""
    try:
        item = json_value(text)
    except (ValueError, RecursionError) as error:
        raise typer.BadParameter(f"not JSON: {error}", param_hint="JSON") from None
    if not isinstance(item, dict):
        raise typer.BadParameter("an item is a JSON object", param_hint="JSON")
    return item


def json_value(text: bytes | str) -> Any:
    """Parse JSON. Raise ValueError or RecursionError."""

    def refuse(constant: str) -> NoReturn:
        raise ValueError(f"{constant} is no JSON")

    return json.loads(text, parse_float=Decimal, parse_constant=refuse)


def without_key(attributes: dict[str, Any], key: str, settings: "Settings") -> dict[str, Any]:
    """Return the attributes but the key. Raise BadParameter where that is another."""
    name = settings.config_key
    if attributes.get(name, key) != key:
        raise typer.BadParameter(f"its {name!r} is another key than {key!r}", param_hint="JSON")
    return {each: value for each, value in attributes.items() if each != name}
