"""The config store: what jobs and handlers ask for config.

A look-up is answered from the cache while its item is fresh. Otherwise it is read, in a batch with
all that is asked for at the same time. Hot keys are read again ahead of time. While DynamoDB can't
be read, remembered items are used and marked as stale; then reads go on as probes that no job waits
for, so that no job holds a slot meanwhile.
"""

import time
from collections.abc import AsyncIterator, Callable, Iterable
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

from worker.config.cache import ConfigCache
from worker.config.loader import BatchLoader, Certainty
from worker.config.outage import ConfigOutage
from worker.config.refresher import Refresher
from worker.config.table import BATCH, ConfigTable
from worker.errors import ConfigUnavailable
from worker.jobs.config_item import MAX_KEY_BYTES, ConfigItem, copied, is_history
from worker.jobs.stored_attributes import StoredAttributes
from worker.runtime.task_group import background


class ConfigStore:
    """The items of one table, for everything in this process. Times are in seconds.

    `ttl` is how old an item may be when a job starts, 0 for a read of its own each time;
    `max_stale` how much older while DynamoDB can't be read. `size` is how many items are
    remembered, and `max_bytes` how many bytes of memory they may take.
    """

    def __init__(
        self,
        table: ConfigTable,
        *,
        ttl: float,
        max_stale: float,
        size: int,
        max_bytes: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._ttl = ttl
        self._monotonic = monotonic
        self._cache = ConfigCache(
            ttl=ttl, max_stale=max_stale, size=size, max_bytes=max_bytes, monotonic=monotonic
        )
        self._outage = ConfigOutage(monotonic)
        self._loader = BatchLoader(self._read, monotonic=monotonic)
        self._refresher = Refresher(self._cache, ttl=ttl, monotonic=monotonic) if ttl > 0 else None

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Read and refresh within this context."""
        async with background() as group:
            self._loader.open(group)
            if self._refresher is not None:
                group.start_soon(self._refresher.run, self._refresh)
            try:
                yield
            finally:
                self._loader.close()

    @property
    def failures(self) -> int:
        """How many reads in a row have failed; 0 unless DynamoDB is away."""
        return self._outage.failures

    def is_stale(self, item: ConfigItem) -> bool:
        """Whether the item is too old, and is used because DynamoDB can't be read."""
        if not self._outage.in_a_row:  # as nearly always, and asked for every job
            return False
        return self._outage.is_older(item.asked_at) and self._cache.is_old(item)

    def remembered(self, key: str, *, confirm_absence: bool = False) -> ConfigItem | None:
        """Return the item if it may be used without a read; None if it must be loaded.

        With `confirm_absence` a remembered absence must be loaded too: no job is buried for an item
        that may have been written since.
        """
        item = self._cache.fresh(key, confirm_absence=confirm_absence)
        if item is None and self._outage.pauses_reads:
            item = self._cache.stale(key, confirm_absence=confirm_absence)
        return item

    async def load(self, key: str, *, confirm_absence: bool = False) -> ConfigItem:
        """Read the item, in a batch with whatever else is loaded in the same turn of the loop.

        With `confirm_absence` an absence comes from a consistent read that began after this call.
        Raise ConfigUnavailable where the item can't be read and none is remembered.
        """
        if is_history(key):
            return self._absent(key)
        if self._outage.failures:
            self._probe([key])
            return self._stale(key, confirm_absence, None)
        called_at = self._monotonic()
        share = self._ttl > 0
        certainty = Certainty.ABSENCE if confirm_absence else Certainty.NOTHING
        while True:
            batch = self._loader.join(key, certainty=certainty, share=share)
            await batch.done.wait()
            item = batch.items.get(key)
            if item is None:
                return self._stale(key, confirm_absence, batch.error)
            if not confirm_absence or _is_certain(item, called_at):
                self._cache.use(key)
                return item
            share = False

    async def load_again(self, key: str) -> ConfigItem:
        """Read the item consistently, after this call began, in a batch as `load` does.

        Raise ConfigUnavailable where it can't be read now.
        """
        if self._outage.failures:
            self._probe([key])
            raise _unread()
        batch = self._loader.join(key, certainty=Certainty.ALL, share=False)
        await batch.done.wait()
        item = batch.items.get(key)
        if item is None:
            raise batch.error or _unread()
        return item

    async def get(self, key: str) -> dict[str, Any]:
        """Return the whole item as plain values, the caller's own copy; `{}` where there is none.

        Raise ConfigUnavailable, also for an item that can't be used; and ValueError for a key that
        DynamoDB does not take: it would refuse all that is read in the same request.
        """
        size = len(key.encode())
        if not 1 <= size <= MAX_KEY_BYTES:
            raise ValueError(f"a config key has 1 to {MAX_KEY_BYTES:,} bytes, not {size:,}")
        item = self.remembered(key) or await self.load(key)
        if item.problem is not None:
            raise ConfigUnavailable(
                f"config {key!r} can't be used: {item.problem}", misconfigured=True
            )
        copy: dict[str, Any] = copied(item.whole)
        return copy

    def _stale(
        self, key: str, confirm_absence: bool, error: ConfigUnavailable | None
    ) -> ConfigItem:
        """Return what is remembered of a key that can't be read now, or raise the error."""
        item = self._cache.stale(key, confirm_absence=confirm_absence)
        if item is None:
            raise error or _unread()
        return item

    def _absent(self, key: str) -> ConfigItem:
        """Return that there is no such item: none that workers read."""
        return ConfigItem(
            key,
            None,
            self._monotonic(),
            key_attribute=self._table.key_attribute,
            absence_confirmed=True,
        )

    def _probe(self, keys: Iterable[str]) -> None:
        """Look whether DynamoDB is back, by one request at a time that nobody waits for."""
        if self._loader.in_flight or self._outage.pauses_reads:
            return
        for key in islice(keys, max(0, BATCH - self._loader.waiting)):
            self._loader.join(key)

    def _refresh(self, keys: Iterable[str]) -> None:
        if self._outage.failures:
            self._probe(keys)
            return
        for key in keys:
            self._loader.join(key)

    async def _read(self, keys: dict[str, Certainty]) -> dict[str, ConfigItem]:
        """Read one batch, remember what it brings, and note whether DynamoDB can be read."""
        if self._outage.pauses_reads:
            raise _unread()
        began_at = self._monotonic()
        confirmed = {key for key, certainty in keys.items() if certainty}
        try:
            found = await self._find(keys)
        except ConfigUnavailable as error:
            self._outage.failed(error, began_at)
            raise
        self._outage.succeeded(began_at)
        if self._refresher is not None:
            self._refresher.read_time.note(self._monotonic() - began_at)
        items = {
            key: ConfigItem(
                key,
                attributes,
                began_at,
                key_attribute=self._table.key_attribute,
                absence_confirmed=key in confirmed,
            )
            for key, attributes in found.items()
        }
        for item in items.values():
            self._cache.remember(item)
        return items

    async def _find(self, keys: dict[str, Certainty]) -> dict[str, StoredAttributes | None]:
        known = self._cache.known(keys)
        found: dict[str, StoredAttributes | None] = {}
        quick = [key for key, certainty in keys.items() if certainty is not Certainty.ALL]
        if quick:
            found = await self._table.read(quick, known=known)
        # An eventually consistent read may miss what was written a moment ago, and a job must not
        # be buried for that.
        again = [key for key, certainty in keys.items() if certainty and found.get(key) is None]
        if again:
            found |= await self._table.read(again, consistent=True, known=known)
        return found


def _unread() -> ConfigUnavailable:
    return ConfigUnavailable("DynamoDB could not be read a moment ago")


def _is_certain(item: ConfigItem, called_at: float) -> bool:
    """Whether an item is there, or was found absent by a consistent read since `called_at`."""
    return item.attributes is not None or (item.absence_confirmed and item.asked_at >= called_at)
