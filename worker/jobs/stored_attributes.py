"""One item's attributes as they are kept in memory: its JSON, and one decoded form."""

import json
import sys
from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any

from worker.jobs.attribute_values import Unusable, decoded, exact_number, plain_number

# What the parts of an item take in memory once decoded, in bytes, and how they are found in its
# JSON: every type and every name ends in `":`. Measured with tracemalloc on CPython 3.11.
_PARTS = {'":': 64, '"N":': -28, '"BOOL":': -40, '"M":': 60, '","': 120}
_SYNTAX = 9  # characters of JSON around a value, as in {"S":""},


class StoredAttributes(Mapping[str, Any]):
    """The attributes of one item; a mapping of exact values, numbers as `Decimal`.

    `plain` holds them with numbers as `int` or `float`: that is what most handlers get, so it is
    kept. Exact values are decoded from `text` each time, which costs the time of a parse, and no
    memory. `problem` says which attribute can't be used and why; then there are no values. `size`
    is an estimate of the bytes in memory.
    """

    __slots__ = ("plain", "problem", "size", "text")

    def __init__(self, text: str, raw: Mapping[str, Any]) -> None:
        self.text: str = text
        self.problem: str | None = None
        try:
            self.plain: dict[str, Any] = decoded(raw, plain_number)
        except Unusable as error:
            self.plain = {}
            self.problem = str(error)
        self.size: int = _size_of(text) if self.problem is None else sys.getsizeof(text)

    def exact(self) -> dict[str, Any]:
        """Return all values, numbers as `Decimal`; the caller's own."""
        return {} if self.problem else decoded(json.loads(self.text), exact_number)

    def is_same(self, text: str, raw: Mapping[str, Any]) -> bool:
        """Whether another reply holds the same attributes, in whatever order."""
        return self.text == text or (
            not self.problem and len(raw) == len(self) and bool(json.loads(self.text) == raw)
        )

    @property
    def digest(self) -> str:
        """A short digest of the JSON as it came."""
        return sha256(self.text.encode(errors="surrogatepass")).hexdigest()[:12]

    def __getitem__(self, name: str) -> Any:
        return self.exact()[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.plain)

    def __len__(self) -> int:
        return len(self.plain)


def _size_of(text: str) -> int:
    """Return what the text and its decoded form take in memory, in bytes."""
    counts = {part: text.count(part) for part in _PARTS}
    contents = max(0, len(text) - _SYNTAX * counts['":'])
    return sys.getsizeof(text) + contents + sum(_PARTS[part] * counts[part] for part in counts)
