"""Reads DynamoDB's replies item by item, and refuses what is not DynamoDB's.

A reply has 16 MB at the most. Parsed as a whole it would take twenty times that in memory, hold the
interpreter's lock for a tenth of a second, and fail for one item that is nested too deeply.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from worker.jobs.attribute_values import TOO_DEEP

Item = TypeVar("Item")
# Makes of one item's raw attributes and its JSON whatever the caller keeps.
Decode = Callable[[dict[str, Any], str], Item]

# DynamoDB writes numbers as texts. Another's JSON number of 5,000 digits must not fail all items.
_parse = json.JSONDecoder(parse_int=float).raw_decode
_space = re.compile(r"[ \t\n\r]*").match
_brackets = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"|[\[\]{}]', re.DOTALL).finditer


class NotDynamo(ValueError):
    """A reply that DynamoDB does not send; a proxy's or a portal's."""


def batch_reply(body: bytes, table: str, decode: Decode[Item]) -> tuple[list[Item], list[Any]]:
    """Return the items of a BatchGetItem, and the raw keys that were not processed."""
    items: list[Item] = []
    unprocessed: Any = None
    found = False
    reader = _Reader(body)
    for name in reader.members():
        if name == "Responses":
            found = True
            for responses_of in reader.members():
                items += [decode(*item) for item in reader.items() if responses_of == table]
        elif name == "UnprocessedKeys":
            unprocessed = reader.value()
        else:
            reader.value()
    reader.end()
    if not found or type(unprocessed) is not dict:
        raise NotDynamo("its reply lacks Responses or UnprocessedKeys")
    return items, unprocessed.get(table, {"Keys": []})["Keys"]


def get_reply(body: bytes, decode: Decode[Item]) -> Item | None:
    """Return the item of a GetItem, None where there is none."""
    item: Item | None = None
    reader = _Reader(body)
    for name in reader.members():
        if name == "Item":
            item = decode(*reader.item())
        elif name == "ConsumedCapacity":
            reader.value()
        else:
            raise NotDynamo("its reply has more than an Item")
    reader.end()
    return item


def replaced_reply(body: bytes, decode: Decode[Item]) -> Item | None:
    """Return the item that a write returns as it was before, None where there was none."""
    item: Item | None = None
    reader = _Reader(body)
    for name in reader.members():
        if name != "Attributes":
            raise NotDynamo("its reply has more than Attributes")
        item = decode(*reader.item())
    reader.end()
    return item


def scan_reply(body: bytes, decode: Decode[Item]) -> tuple[list[Item], Any]:
    """Return the items of one page of a Scan, and the raw key to go on from, if any."""
    items: list[Item] | None = None
    last: Any = None
    reader = _Reader(body)
    for name in reader.members():
        if name == "Items":
            items = [decode(*item) for item in reader.items()]
        elif name == "LastEvaluatedKey":
            last = reader.value()
        else:
            reader.value()
    reader.end()
    if items is None:
        raise NotDynamo("its reply lacks Items")
    return items, last


class _Reader:
    """A position in a JSON text. Raises NotDynamo where the text is not as it should be."""

    def __init__(self, body: bytes) -> None:
        try:
            self._text = body.decode()
        except UnicodeDecodeError:
            raise NotDynamo("its reply is not JSON") from None
        self._at = 0

    def members(self) -> Iterator[str]:
        """Yield the name of each member of an object; the caller reads its value."""
        self._expect("{")
        if self._skips("}"):
            return
        while True:
            name = self.value()
            if type(name) is not str:
                raise NotDynamo("its reply is not JSON")
            self._expect(":")
            yield name
            if self._skips("}"):
                return
            self._expect(",")

    def items(self) -> Iterator[tuple[dict[str, Any], str]]:
        """Yield each item of a list of items."""
        self._expect("[")
        if self._skips("]"):
            return
        while True:
            yield self.item()
            if self._skips("]"):
                return
            self._expect(",")

    def item(self) -> tuple[dict[str, Any], str]:
        """Return an object of attributes, and its text."""
        self._skip_space()
        start = self._at
        try:
            raw = self.value()
        except RecursionError:
            self._at = start
            raw = {name: self._value_or_too_deep() for name in self.members()}
        if type(raw) is not dict:
            raise NotDynamo("its reply has an item that is no object")
        return raw, self._text[start : self._at]

    def value(self) -> Any:
        """Return any value, parsed. Raise RecursionError where it is nested too deeply."""
        self._skip_space()
        try:
            value, self._at = _parse(self._text, self._at)
        except ValueError:
            raise NotDynamo("its reply is not JSON") from None
        return value

    def end(self) -> None:
        """Nothing but space may follow."""
        self._skip_space()
        if self._at != len(self._text):
            raise NotDynamo("its reply has more than one JSON value")

    def _value_or_too_deep(self) -> Any:
        self._skip_space()
        start = self._at
        try:
            return self.value()
        except RecursionError:
            self._at = self._end_of_brackets(start)
            return TOO_DEEP

    def _end_of_brackets(self, start: int) -> int:
        level = 0
        for found in _brackets(self._text, start):
            level += {"{": 1, "[": 1, "}": -1, "]": -1}.get(found[0], 0)
            if level == 0:
                return found.end()
        raise NotDynamo("its reply is not JSON")

    def _skip_space(self) -> None:
        found = _space(self._text, self._at)
        self._at = found.end() if found else self._at

    def _skips(self, char: str) -> bool:
        self._skip_space()
        if not self._text.startswith(char, self._at):
            return False
        self._at += 1
        return True

    def _expect(self, char: str) -> None:
        if not self._skips(char):
            raise NotDynamo("its reply has another form")
