"""What is remembered of the config table: what may be used, and what is to be read again.

Pure rules on an injected clock. Nothing here reads, waits or logs.
"""

import random
from collections import OrderedDict
from collections.abc import Callable, Iterable

from worker.jobs.config_item import ConfigItem
from worker.jobs.stored_attributes import StoredAttributes

# Where in its time to live a hot key is read again, as a share of it. The share is random, so that
# keys read together do not stay together.
_REFRESH_FROM, _REFRESH_TO = 0.4, 0.7


class _Entry:
    """One remembered item, when a job last used it, and its share of the time to live."""

    __slots__ = ("item", "share", "size", "used_at")

    def __init__(self, item: ConfigItem, used_at: float) -> None:
        self.item = item
        self.size = item.size + item.kept_size
        self.used_at = used_at
        self.share = random.uniform(_REFRESH_FROM, _REFRESH_TO)


class ConfigCache:
    """The items used last. All times are in seconds, on the clock `monotonic`.

    An item is fresh for `ttl` after its read began, and may be used stale for `max_stale` more
    while DynamoDB is away. `size` is how many items are remembered, and `max_bytes` how many bytes
    of memory they may take by their own estimates.
    """

    def __init__(
        self,
        *,
        ttl: float,
        max_stale: float,
        size: int,
        max_bytes: int,
        monotonic: Callable[[], float],
    ) -> None:
        self._ttl = ttl
        self._max_stale = max_stale
        self._size = size
        self._max_bytes = max_bytes
        self._bytes = 0
        self._monotonic = monotonic
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self.last_use: float = 0.0

    def __len__(self) -> int:
        return len(self._entries)

    def fresh(self, key: str, *, confirm_absence: bool = False) -> ConfigItem | None:
        """Return the item if it is fresh. `confirm_absence` refuses a remembered absence."""
        entry = self._entries.get(key)
        if entry is None:
            return None
        item = entry.item
        now = self._monotonic()
        if now - item.asked_at >= self._ttl or (confirm_absence and item.attributes is None):
            return None
        entry.used_at = self.last_use = now
        self._entries.move_to_end(key)
        return item

    def stale(self, key: str, *, confirm_absence: bool = False) -> ConfigItem | None:
        """Return the item if it may be used while DynamoDB is away."""
        entry = self._entries.get(key)
        if entry is None or (confirm_absence and entry.item.attributes is None):
            return None
        if self._monotonic() - entry.item.asked_at >= self._ttl + self._max_stale:
            return None
        self.use(key)
        return entry.item

    def is_old(self, item: ConfigItem) -> bool:
        """Whether the item is past its time to live."""
        return self._monotonic() - item.asked_at >= self._ttl

    def remember(self, item: ConfigItem) -> None:
        """Keep the item, unless a later read was faster. That is no use of it: a key that is only
        refreshed goes cold.
        """
        old = self._entries.get(item.key)
        if old is not None:
            item.follow(old.item)
            if old.item.asked_at > item.asked_at:
                return
            self._bytes -= old.size
        entry = _Entry(item, old.used_at if old else item.asked_at)
        self._bytes += entry.size
        self._entries[item.key] = entry
        self._entries.move_to_end(item.key)
        while len(self._entries) > self._size or self._bytes > self._max_bytes:
            _, forgotten = self._entries.popitem(last=False)
            self._bytes -= forgotten.size

    def known(self, keys: Iterable[str]) -> dict[str, StoredAttributes]:
        """Return the attributes that are remembered of these keys, however old."""
        entries = ((key, self._entries.get(key)) for key in keys)
        return {
            key: entry.item.attributes
            for key, entry in entries
            if entry is not None and isinstance(entry.item.attributes, StoredAttributes)
        }

    def use(self, key: str) -> None:
        """Note that a job uses the item of this key now, if it is still remembered."""
        entry = self._entries.get(key)
        if entry is not None:
            entry.used_at = self.last_use = self._monotonic()
            self._entries.move_to_end(key)

    def due(self, latest: float) -> list[str]:
        """The keys to read again: used within the last time to live, and old enough.

        `latest` is the age in seconds at which a read has to begin to arrive in time.
        """
        now, ttl = self._monotonic(), self._ttl
        return [
            key
            for key, entry in self._entries.items()
            if now - entry.used_at <= ttl
            and now - entry.item.asked_at >= min(entry.share * ttl, latest)
        ]
