"""The config store: look-ups gathered, remembered, refreshed ahead, and stood in for when stale.

Look-ups gather as in a data loader: while one flight of reads is under way, whatever else is asked
for waits for the next, so a flood costs one request for every hundred keys, however many jobs want
them. A key used within its last time to live is read again before that is up, so that no job waits
for it. When DynamoDB can't be read, what is remembered stands in, and says that it is stale; then
reads go on as probes that nobody waits for, so that no job holds a slot meanwhile.
"""

import logging
import random
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from itertools import islice
from typing import Any

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from worker.config.table import BATCH, ConfigTable
from worker.errors import ConfigUnavailable
from worker.jobs.backoff import Backoff
from worker.jobs.config_item import MAX_KEY_BYTES, ConfigItem, copied
from worker.runtime.task_group import background

log = logging.getLogger("worker.config")

# After a failed flight the next waits so long (seconds); meanwhile look-ups are answered from what
# is remembered, or fail at once, instead of each waiting for the SDK's time-outs.
_AWAY = Backoff(base=0.2, factor=2.0, max=5.0)
# An outage that nobody has met for so long (seconds) may be over: then look-ups wait again.
_FORGOTTEN = 15.0
# Where in its time to live a hot key is read again: spread, so that keys read together do not
# come up for refreshing together for ever.
_REFRESH_FROM, _REFRESH_TO = 0.4, 0.7
_TICK = 0.02  # seconds between looks at what is due, at the least


class _Flight:
    """Keys whose reads leave together, and whether an absence must be sure."""

    def __init__(self) -> None:
        self.keys: dict[str, bool] = {}
        self.items: dict[str, ConfigItem] = {}
        self.errors: dict[str, ConfigUnavailable] = {}
        self.done = anyio.Event()


class ConfigStore:
    """What jobs and handlers know of the config table. Times are in seconds.

    `ttl` is how old an item may be when a job starts, 0 for a read of its own each time;
    `max_stale` how old while DynamoDB can't be read; `size` how many items are remembered.
    """

    def __init__(
        self,
        table: ConfigTable,
        *,
        ttl: float,
        max_stale: float,
        size: int,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._table = table
        self._ttl = ttl
        self._max_stale = max_stale
        self._size = size
        self._monotonic = monotonic
        self._items: OrderedDict[str, ConfigItem] = OrderedDict()
        self._under_way: _Flight | None = None
        self._next: _Flight | None = None
        self._group: TaskGroup | None = None
        self._failures = 0
        self._misconfigured = False
        self._failed_from = 0.0
        self._failed_at = 0.0
        self._retry_at = 0.0
        self._last_use = 0.0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Keep the flights and the refresher going."""
        async with background() as group:
            self._group = group
            if self._ttl > 0:
                group.start_soon(self._refresh)
            try:
                yield
            finally:
                self._group = None

    @property
    def failures(self) -> int:
        """How many reads in a row have failed, to wait accordingly; 0 unless DynamoDB is away."""
        forgotten = self._monotonic() - self._failed_at > _FORGOTTEN
        return 0 if forgotten else self._failures

    def is_stale(self, item: ConfigItem) -> bool:
        """Whether an item that was handed out stands in for one that could not be read."""
        if not self._failures:
            return False
        old = self._monotonic() - item.asked_at >= self._ttl
        return self.failures > 0 and old and item.asked_at < self._failed_from

    def remembered(self, key: str, *, confirm_absence: bool = False) -> ConfigItem | None:
        """The item if it may be used as it is, without a read; None if it must be loaded.

        `sure` refuses an absence that no consistent read has confirmed.
        """
        item = self._items.get(key)
        sure = confirm_absence
        if item is None or (sure and not item.sure):
            return None
        now = self._monotonic()
        if now - item.asked_at >= self._ttl and not (
            now < self._retry_at and self._stands_in(item, now, sure)
        ):
            return None
        item.used_at = self._last_use = now
        self._items.move_to_end(key)
        return item

    async def load(self, key: str, *, confirm_absence: bool = False) -> ConfigItem:
        item = (await self.load_many({key: confirm_absence}))[key]
        if isinstance(item, ConfigUnavailable):
            raise item
        return item

    async def load_many(
        self, keys: Mapping[str, bool]
    ) -> dict[str, ConfigItem | ConfigUnavailable]:
        """Read the items of these keys, each with whether its absence must be sure.

        A key whose item can't be read and has no stand-in comes with the error.
        """
        if self.failures:
            self._probe(keys)
            return {key: self._landed(key, sure, None) for key, sure in keys.items()}
        flights = await self._fetch(keys)
        return {key: self._landed(key, keys[key], flight) for key, flight in flights.items()}

    async def get(self, key: str) -> dict[str, Any]:
        """The whole item as plain values, the caller's own copy; `{}` where there is none.

        Raises ConfigUnavailable, and ValueError for what DynamoDB does not take for a key: it would
        refuse all that is read in the same request.
        """
        if not 1 <= len(key.encode()) <= MAX_KEY_BYTES:
            raise ValueError(
                f"a config key has 1 to {MAX_KEY_BYTES:,} bytes, not {len(key.encode())}"
            )
        item: ConfigItem | ConfigUnavailable | None = self.remembered(key)
        if item is None:
            item = (await self.load_many({key: False}))[key]
        if isinstance(item, ConfigUnavailable):
            raise item
        copy: dict[str, Any] = copied(item.whole)
        return copy

    def _probe(self, keys: Mapping[str, bool]) -> None:
        """Look whether DynamoDB is back, one request at a time."""
        busy = self._under_way or self._next
        if not busy and self._monotonic() >= self._retry_at:
            for key, sure in islice(keys.items(), BATCH):
                self._board(key, sure)

    async def _fetch(self, keys: Mapping[str, bool]) -> dict[str, _Flight]:
        """Read these keys. That is no use of them, or what is refreshed would stay hot for ever."""
        flights = {key: self._board(key, sure) for key, sure in keys.items()}
        for flight in set(flights.values()):
            await flight.done.wait()
        return flights

    def _stands_in(self, item: ConfigItem, now: float, sure: bool) -> bool:
        """Whether an old item is better than none. A job is never buried on an old absence."""
        return now - item.asked_at < self._ttl + self._max_stale and not (
            sure and item.attributes is None
        )

    def _board(self, key: str, sure: bool) -> _Flight:
        # With no time to live, a read that left before the job was claimed must not be shared.
        under_way = self._under_way
        if self._ttl > 0 and under_way and under_way.keys.get(key) in (sure, True):
            return under_way
        if self._next is None:
            self._next = _Flight()
            if self._under_way is None:
                if self._group is None:
                    raise ConfigUnavailable("the config store is closed")
                self._group.start_soon(self._fly)
        self._next.keys[key] = sure or self._next.keys.get(key, False)
        return self._next

    async def _fly(self) -> None:
        """Let flights go one after the other until nobody waits."""
        try:
            while self._next:
                # One turn of the loop, for everybody who is about to ask.
                await anyio.lowlevel.checkpoint()
                flight, self._next = self._next, None
                self._under_way = flight
                try:
                    await self._read(flight)
                finally:
                    self._under_way = None
                    flight.done.set()
        finally:
            if self._next:
                self._next.done.set()

    async def _read(self, flight: _Flight) -> None:
        now = self._monotonic()
        if now < self._retry_at:
            error = ConfigUnavailable("DynamoDB could not be read a moment ago")
            flight.errors = dict.fromkeys(flight.keys, error)
            return
        keys = list(flight.keys)
        async with anyio.create_task_group() as group:
            for first in range(0, len(keys), BATCH):
                group.start_soon(self._read_batch, flight, keys[first : first + BATCH])
        if flight.errors:
            self._failed_from = now
            self._note_failure(next(iter(flight.errors.values())))
        elif self._failures:
            self._failures = 0
            log.warning("DynamoDB can be read again; jobs run with fresh config.")

    async def _read_batch(self, flight: _Flight, keys: list[str]) -> None:
        asked_at = self._monotonic()
        try:
            found = await self._table.read(keys)
            doubtful = [key for key in keys if found[key] is None and flight.keys[key]]
            if doubtful:
                # An eventually consistent read may miss an item written a moment ago, and a job
                # must not be buried for that.
                found |= await self._table.read(doubtful, consistent=True)
        except ConfigUnavailable as error:
            flight.errors |= dict.fromkeys(keys, error)
            return
        for key in keys:
            flight.items[key] = self._remember(key, found[key], asked_at, sure=flight.keys[key])

    def _remember(
        self, key: str, attributes: dict[str, Any] | None, asked_at: float, *, sure: bool
    ) -> ConfigItem:
        item = ConfigItem(
            key, attributes, asked_at, key_attribute=self._table.key_attribute, sure=sure
        )
        old = self._items.get(key)
        if old is not None:
            item.used_at = old.used_at
            if old.attributes == attributes:
                item.views = old.views  # validated once, as long as the item stays the same
        item.refresh_at = asked_at + self._ttl * random.uniform(_REFRESH_FROM, _REFRESH_TO)
        self._items[key] = item
        self._items.move_to_end(key)
        while len(self._items) > self._size:
            self._items.popitem(last=False)
        return item

    def _landed(
        self, key: str, sure: bool, flight: _Flight | None
    ) -> ConfigItem | ConfigUnavailable:
        """What the flight brought, or what stands in for it; without one: what is remembered."""
        item = flight.items.get(key) if flight else None
        now = self._monotonic()
        if item is None:
            old = self._items.get(key)
            if old is None or not self._stands_in(old, now, sure):
                error = flight.errors.get(key) if flight else None
                return error or ConfigUnavailable("DynamoDB could not be read a moment ago")
            item = old
        item.used_at = self._last_use = now
        return item

    def _note_failure(self, error: ConfigUnavailable) -> None:
        """Log an outage once, and again only when it turns into another kind of trouble."""
        self._failures += 1
        self._failed_at = self._monotonic()
        self._retry_at = self._failed_at + _AWAY.equal_jitter(self._failures)
        if self._failures == 1 or error.misconfigured != self._misconfigured:
            self._misconfigured = error.misconfigured
            kind = "Someone has to mend this" if error.misconfigured else "It is tried again"
            log.error(
                "Config can't be read: %s. %s; meanwhile jobs run with remembered config, or wait "
                "in the scheduled set.",
                error,
                kind,
            )

    async def _refresh(self) -> None:
        """Read again what was used within its last time to live, before a job has to wait."""
        pause = self._ttl / 20
        while True:
            await anyio.sleep(max(pause, _TICK))
            now = self._monotonic()
            # What is read after a time without use is not due before this longer pause is over.
            idle = now - self._last_use > self._ttl
            pause = self._ttl / 4 if idle else self._ttl / 20
            if idle or now < self._retry_at:
                continue
            hot = {
                key: item.sure and item.attributes is None
                for key, item in self._items.items()
                if item.refresh_at <= now and now - item.used_at <= self._ttl
            }
            keys = list(hot)
            for first in range(0, len(keys), BATCH):
                await self._fetch({key: hot[key] for key in keys[first : first + BATCH]})
