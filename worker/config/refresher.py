"""Reads hot keys again before they are too old, so that no job waits for their read."""

from collections.abc import Callable, Iterable

import anyio

from worker.config.cache import ConfigCache

_SHORTEST_PAUSE = 0.02  # seconds between two looks at what is due
# A refresh starts so many times the longest recent read before its item is too old.
_MARGIN = 1.5
# No item is read again before this share of its time to live, however slow reads are: that bounds
# what a slow read costs.
_EARLIEST = 0.25
_HALF_LIFE = 10  # times to live in which the memory of a slow read halves


class ReadTime:
    """The longest of the recent reads, in seconds. It halves within every `half_life`."""

    def __init__(self, half_life: float, monotonic: Callable[[], float]) -> None:
        self._half_life = half_life
        self._monotonic = monotonic
        self._longest = 0.0
        self._at = 0.0

    def note(self, seconds: float) -> None:
        """Note what one read has taken."""
        self._longest = max(seconds, self.longest)
        self._at = self._monotonic()

    @property
    def longest(self) -> float:
        """What a read may take now."""
        age = self._monotonic() - self._at
        return float(self._longest * 0.5 ** (age / self._half_life))


class Refresher:
    """Looks at what is due. All times are in seconds, on the clock `monotonic`; `ttl` is above 0.

    `read_time` is to be given what every read has taken.
    """

    def __init__(self, cache: ConfigCache, *, ttl: float, monotonic: Callable[[], float]) -> None:
        self._cache = cache
        self._ttl = ttl
        self._monotonic = monotonic
        self.read_time: ReadTime = ReadTime(_HALF_LIFE * ttl, monotonic)

    async def run(self, read: Callable[[Iterable[str]], None]) -> None:
        """Hand to `read` what is due, for ever; wake less often while no job uses config."""
        pause = self.pause
        while True:
            await anyio.sleep(pause)
            # What is read after a time without use is not due before the longer pause is over.
            idle = self._monotonic() - self._cache.last_use > self._ttl
            pause = max(self._ttl / 4, _SHORTEST_PAUSE) if idle else self.pause
            if not idle:
                read(self._cache.due(self.latest))

    @property
    def pause(self) -> float:
        """Between two looks while jobs use config."""
        return max(self._ttl / 20, _SHORTEST_PAUSE)

    @property
    def latest(self) -> float:
        """The age at which an item's read has to begin to arrive before it is too old."""
        lead = _MARGIN * self.read_time.longest + 2 * self.pause
        return max(self._ttl - lead, _EARLIEST * self._ttl)
