"""Conditional writes of one item, as DynamoDB takes them."""

from collections.abc import Sequence
from typing import Any, Literal

from worker.config.raw_items import Raw, sendable

# An expression may have 300 operators and 4 kB. Each attribute of a condition takes two operators
# and some 20 bytes, each of an update 15 bytes.
_MOST_CONDITIONS = 100
_MOST_UPDATES = 200

Operation = Literal["put_item", "update_item", "delete_item"]


def replacement(
    key_attribute: str, key: str, read: Raw | None, meant: Raw | None
) -> tuple[Operation, dict[str, Any]]:
    """Return the operation, and its parameters, that makes of the item that was read the one that
    is meant, where it is still as it was read. None is no item.

    An attribute that was added since stays as it is, unless the edit changes very many.
    """
    before, after = read or {}, meant or {}
    changed = [n for n in sorted(before.keys() | after.keys()) if before.get(n) != after.get(n)]
    # What the edit changes comes first, should there be more attributes than conditions.
    held = [*changed, *(n for n in before if n not in changed)][:_MOST_CONDITIONS]
    expressions = _Expressions()
    condition = expressions.condition(key_attribute, read, held)
    operation: Operation = "delete_item"
    parameters: dict[str, Any] = {"Key": {key_attribute: {"S": key}}}
    if meant is not None and len(changed) > _MOST_UPDATES:
        operation = "put_item"
        parameters = {"Item": whole(key_attribute, key, meant)}
    elif meant is not None:
        operation = "update_item"
        if changed:
            parameters["UpdateExpression"] = expressions.update(after, changed)
    parameters["ConditionExpression"] = condition
    return operation, {**parameters, **expressions.parameters()}


def whole(key_attribute: str, key: str, attributes: Raw) -> Raw:
    """Return the whole item as the SDK sends it."""
    sent = {name: sendable(raw) for name, raw in attributes.items()}
    return {**sent, key_attribute: {"S": key}}


class _Expressions:
    """Expressions of one request, with placeholders for their names and values."""

    def __init__(self) -> None:
        self._names: dict[str, str] = {}
        self._values: dict[str, Any] = {}

    def condition(self, key_attribute: str, read: Raw | None, held: Sequence[str]) -> str:
        """Return the condition that these attributes are as they were read."""
        key = self._name(key_attribute)
        parts = [f"attribute_not_exists({key})" if read is None else f"attribute_exists({key})"]
        for attribute in held:
            name = self._name(attribute)
            if read and attribute in read:
                parts.append(f"{name} = {self._value(read[attribute])}")
            else:
                parts.append(f"attribute_not_exists({name})")
        return " AND ".join(parts)

    def update(self, after: Raw, changed: Sequence[str]) -> str:
        """Return the update that gives these attributes their new values, or removes them."""
        sets = [f"{self._name(n)} = {self._value(after[n])}" for n in changed if n in after]
        removed = [self._name(n) for n in changed if n not in after]
        clauses = [("SET", sets), ("REMOVE", removed)]
        return " ".join(f"{verb} {', '.join(parts)}" for verb, parts in clauses if parts)

    def parameters(self) -> dict[str, Any]:
        """Return what the placeholders stand for."""
        names = {placeholder: name for name, placeholder in self._names.items()}
        values = {"ExpressionAttributeValues": self._values} if self._values else {}
        return {"ExpressionAttributeNames": names, **values}

    def _name(self, attribute: str) -> str:
        return self._names.setdefault(attribute, f"#n{len(self._names)}")

    def _value(self, raw: Any) -> str:
        self._values[placeholder := f":v{len(self._values)}"] = sendable(raw)
        return placeholder
