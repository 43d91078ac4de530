"""Items in DynamoDB's own JSON, such as {"a": {"N": "1"}}: how edits compare and change them.

An edit changes only what it names. So all that it does not name stays as DynamoDB returned it, sets
and binary too, for which JSON has no values.
"""

import json
import re
from base64 import b64decode
from collections.abc import Iterator, Mapping
from decimal import Decimal
from difflib import SequenceMatcher
from typing import Any

from boto3.dynamodb.types import TypeSerializer

from worker.jobs.attribute_values import Unusable, decoded, exact_number
from worker.jobs.config_item import ConfigItem
from worker.jobs.stored_attributes import StoredAttributes

Raw = dict[str, Any]

_serialize = TypeSerializer().serialize
_name = re.compile(r"(?:\\.|[^.\\])+", re.DOTALL)


class PathError(ValueError):
    """A path that leads nowhere. `is_absent`: nothing is wrong with it, but the item lacks it."""

    def __init__(self, message: str, *, is_absent: bool = False) -> None:
        super().__init__(message)
        self.is_absent = is_absent


def raw_value(value: Any) -> Raw:
    """Return a JSON value as DynamoDB has it. Raise ValueError for what it can't hold."""
    try:
        raw: Raw = _serialize(exact(value))
        decoded({"value": raw}, exact_number)
    except ArithmeticError as error:
        raise ValueError(
            "DynamoDB holds numbers of up to 38 digits, between 1e-130 and 1e126"
        ) from error
    except RecursionError as error:
        raise ValueError("DynamoDB holds values of up to 32 levels") from error
    except Unusable as error:
        raise ValueError(str(error).removeprefix("value: ").removeprefix("value.")) from error
    return raw


def raw_item(attributes: Mapping[str, Any]) -> Raw:
    """Return an item of JSON values as DynamoDB has it. Raise ValueError like `raw_value`."""
    item: Raw = raw_value(dict(attributes))["M"]
    return item


def exact(value: Any) -> Any:
    """Return JSON values as DynamoDB takes them: a float as the `Decimal` of its shortest form."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, dict):
        return {name: exact(item) for name, item in value.items()}
    if isinstance(value, list):
        return [exact(item) for item in value]
    return value


def config_item(key: str, attributes: Raw, key_attribute: str) -> ConfigItem:
    """Return what workers make of an item with these attributes."""
    whole = {**attributes, key_attribute: {"S": key}}
    stored = StoredAttributes(json.dumps(whole), whole)
    return ConfigItem(key, stored, 0.0, key_attribute=key_attribute, absence_confirmed=True)


def sendable(raw: Any) -> Any:
    """The attribute value as the SDK sends it: binary as bytes."""
    ((kind, content),) = raw.items()
    if kind == "B":
        return {kind: b64decode(content)}
    if kind == "BS":
        return {kind: [b64decode(each) for each in content]}
    if kind == "M":
        return {kind: {name: sendable(each) for name, each in content.items()}}
    if kind == "L":
        return {kind: [sendable(each) for each in content]}
    return raw


# -- comparing -------------------------------------------------------------------------------------


def same(one: Any, other: Any) -> bool:
    """Whether two items, or attribute values, hold the same, whatever their order and form."""
    return bool(_canonical(one) == _canonical(other))


def _canonical(raw: Any) -> Any:
    """The raw value with one form for each content: sets sorted, numbers as numbers."""
    if isinstance(raw, Mapping):
        if len(raw) == 1:
            ((kind, content),) = raw.items()
            try:
                if kind == "N":
                    return ("N", exact_number(content))
                if kind == "NS":
                    return ("NS", sorted(map(exact_number, content)))
            except (Unusable, TypeError):
                return (kind, content)
            if kind in ("SS", "BS") and isinstance(content, list):
                return (kind, sorted(content))
        return {name: _canonical(each) for name, each in raw.items()}
    return [_canonical(each) for each in raw] if isinstance(raw, list) else raw


def changes(read: Raw | None, now: Raw | None) -> str:
    """Say what has become of an item. Names of attributes only: values may be secrets."""
    return "deleted" if now is None else ", ".join(_changed_paths(read or {}, now, ""))


def _changed_paths(one: Mapping[str, Any], other: Mapping[str, Any], path: str) -> Iterator[str]:
    for name in sorted(one.keys() | other.keys()):
        a, b = one.get(name), other.get(name)
        if same(a, b):
            continue
        if _is_map(a) and _is_map(b):
            yield from _changed_paths(a["M"], b["M"], f"{path}{name}.")  # type: ignore[index]
        else:
            yield f"{path}{name}"


def _is_map(raw: Any) -> bool:
    return isinstance(raw, Mapping) and isinstance(raw.get("M"), Mapping)


# -- paths -----------------------------------------------------------------------------------------


def names_of(path: str) -> list[str]:
    """Split `policy.backoff.base`. A backslash takes the meaning from the next character.

    Raise PathError.
    """
    names = [re.sub(r"\\(.)", r"\1", name, flags=re.DOTALL) for name in _name.findall(path)]
    if not names or ".".join(_name.findall(path)) != path:
        raise PathError(f"{path!r} is no path, such as policy.timeout")
    return names


def with_value(item: Raw, path: str, value: Raw) -> Raw:
    """Return the item with this attribute, which the path names. Maps on its way are made.

    Raise PathError where something on its way is no map, nor a list that is long enough.
    """
    changed: Raw = _changed({"M": item}, names_of(path), value, path)["M"]
    return changed


def without_value(item: Raw, path: str) -> Raw:
    """Return the item without what the path names. Raise PathError where that is not there."""
    changed: Raw = _changed({"M": item}, names_of(path), None, path)["M"]
    return changed


def _changed(raw: Raw, names: list[str], value: Raw | None, path: str) -> Raw:
    name, *rest = names
    if isinstance(raw.get("M"), Mapping):
        inner: Any = dict(raw["M"])
        at: Any = name
        child = inner.get(name)
    elif isinstance(raw.get("L"), list):
        inner = list(raw["L"])
        if not (name.isascii() and name.isdigit() and int(name) < len(inner)):
            raise PathError(f"{path}: its list has no {name!r}", is_absent=value is None)
        at = int(name)
        child = inner[at]
    else:
        raise PathError(f"{path}: {name!r} is not within a map or a list", is_absent=value is None)
    if child is None and value is None:
        raise PathError(f"{path}: there is no {name!r}", is_absent=True)
    if rest:
        inner[at] = _changed(child or {"M": {}}, rest, value, path)
    elif value is None:
        del inner[at]
    else:
        inner[at] = value
    return {"M" if "M" in raw else "L": inner}


# -- an item that was edited as JSON ---------------------------------------------------------------


def merged(raw: Raw, shown: Any, edited: Any) -> Raw:
    """Return the attribute value after an edit of what was shown of it as JSON.

    What was not edited stays as it is. An array that was a set stays one where it can be, and a
    text that was binary likewise. Raise ValueError for what DynamoDB can't hold.
    """
    if _is_equal(shown, edited):
        return raw
    ((kind, content),) = raw.items()
    if kind == "M" and isinstance(edited, dict):
        return {
            "M": {
                name: merged(content[name], shown[name], value)
                if name in content
                else raw_value(value)
                for name, value in edited.items()
            }
        }
    if kind == "L" and isinstance(edited, list):
        return {"L": list(_merged_members(content, shown, edited))}
    if kind in ("SS", "NS", "BS") and isinstance(edited, list) and edited:
        members = [raw_value(each) for each in edited]
        if kind == "BS":
            members = [_binary(each) for each in edited]
        if all(set(member) == {kind[0]} for member in members):
            return {kind: list({member[kind[0]]: None for member in members})}
    if kind == "B" and "B" in _binary(edited):
        return _binary(edited)
    return raw_value(edited)


def _merged_members(content: list[Raw], shown: list[Any], edited: list[Any]) -> Iterator[Raw]:
    """Yield the members of an edited list. One that is still there is found at its new place."""
    pairs = SequenceMatcher(None, [*map(repr, shown)], [*map(repr, edited)], autojunk=False)
    for _, start, end, edited_start, edited_end in pairs.get_opcodes():
        members = edited[edited_start:edited_end]
        if end - start == len(members):
            yield from map(merged, content[start:end], shown[start:end], members)
        else:
            yield from map(raw_value, members)


def _binary(value: Any) -> Raw:
    """Return binary where the value is base64; else what it is as JSON."""
    try:
        b64decode(value, validate=True)
    except (ValueError, TypeError):
        return raw_value(value)
    return {"B": value}


def _is_equal(one: Any, other: Any) -> bool:
    """Equality of JSON values, in which `true` is not 1."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_is_equal(one[n], other[n]) for n in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(_is_equal, one, other))
    return bool(one == other)
