"""A config table in memory that takes its time and fails on demand, and a clock by hand."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from typing import Any, cast

import anyio

from tests.config.virtual_time import now
from worker.config.store import ConfigStore
from worker.config.table import ConfigTable
from worker.errors import ConfigUnavailable
from worker.jobs.config_item import ConfigItem
from worker.jobs.stored_attributes import StoredAttributes


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def each(*values: Any) -> tuple[Any, ...]:
    """Values of any types, to go through."""
    return values


def item(
    key: str, attributes: Mapping[str, Any] | None, asked_at: float, **more: Any
) -> ConfigItem:
    confirmed = more.pop("absence_confirmed", False)
    return ConfigItem(
        key, attributes, asked_at, key_attribute="key", absence_confirmed=confirmed, **more
    )


def nested(levels: int, kind: str = "L") -> dict[str, Any]:
    """An attribute value of so many levels, as DynamoDB's JSON has it."""
    value: dict[str, Any] = {"N": "1"}
    for _ in range(levels):
        value = {"L": [value]} if kind == "L" else {"M": {"deeper": value}}
    return value


class FakeTable:
    """`items` is what it holds, `delay` what a read takes in seconds, `error` what a read raises.

    `reads` holds the keys of each read, `consistent` those of consistent ones only. What a read
    returns is what the table held when the read began.
    """

    key_attribute = "key"

    def __init__(self, delay: float = 0.01) -> None:
        self.items: dict[str, dict[str, Any]] = {}
        self.delay = delay
        self.error: ConfigUnavailable | None = None
        self.reads: list[list[str]] = []
        self.consistent: list[list[str]] = []
        self.most_at_once = 0
        self._now = 0

    async def read(
        self,
        keys: Sequence[str],
        *,
        consistent: bool = False,
        known: Mapping[str, StoredAttributes] | None = None,  # noqa: ARG002 - not needed here
    ) -> dict[str, dict[str, Any] | None]:
        self.reads.append(list(keys))
        if consistent:
            self.consistent.append(list(keys))
        found = {key: self.items.get(key) for key in keys}
        self._now += 1
        self.most_at_once = max(self.most_at_once, self._now)
        try:
            await anyio.sleep(self.delay)
        finally:
            self._now -= 1
        if self.error is not None:
            raise self.error
        return found


@asynccontextmanager
async def open_store(
    table: FakeTable,
    *,
    ttl: float = 5.0,
    max_stale: float = 3600.0,
    size: int = 10_000,
    max_bytes: int = 10**9,
) -> AsyncIterator[ConfigStore]:
    """A store over this table, on the running loop's clock."""
    store = ConfigStore(
        cast(ConfigTable, table),
        ttl=ttl,
        max_stale=max_stale,
        size=size,
        max_bytes=max_bytes,
        monotonic=now,
    )
    async with store.running():
        yield store
