"""What becomes of the jobs of configs that can't be used, or don't exist, and what the log says."""

import logging
import time
from collections.abc import Callable, Hashable
from math import inf

from worker.jobs.backoff import Backoff
from worker.jobs.config_item import ConfigItem

log: logging.Logger = logging.getLogger("worker")

# Seconds until a waiting job looks again: as long as it has waited, within these.
_SOONEST, _LATEST = 1.0, 30.0
_SHORTEST = 0.05  # seconds, where the wait is nearly over
_MOST = 10_000  # configs that are noted at once; producers can name any number of missing ones
# Seconds. A job that waits visits the workers of its fleet one after the other, so that each must
# remember for long that it has met the job's config.
_FORGOTTEN = 3600.0


class BadConfigs:
    """One for a process. All times are in seconds, on the clock `monotonic`.

    `keep`: a version that can't be used buries nothing for `max_stale` after it was first met, and
    a missing config nothing for `ttl`. Without it jobs are buried at once. `is_any` says whether
    there is any bad config: it is looked at for every job.
    """

    def __init__(
        self,
        *,
        keep: bool,
        ttl: float,
        max_stale: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keep: bool = keep
        self.is_any: bool = False
        self._ttl = ttl
        self._max_stale = max_stale
        self._invalid = _FirstMet(monotonic)
        self._missing = _FirstMet(monotonic)
        self._reports: dict[str, _Reports] = {}

    def missing(self, key: str) -> float:
        """There is no such item. Return the seconds that its job waits; 0 if it is to be buried."""
        if not self.keep:
            return 0.0
        self.is_any = True
        return _wait(self._missing.age(key), self._ttl)

    def invalid(self, item: ConfigItem, handler: str, problem: str) -> float:
        """The handler can't use the item, and no version that it could is known.

        Return the seconds that its job waits; 0 if it is to be buried. Where the type asks for more
        than no item has, the item is missing, and its jobs wait no longer than for any that is.
        """
        if item.attributes is None:
            wait = self.missing(item.key)
            longest = f"{self._ttl:g} s (WORKER_CONFIG_TTL)"
        else:
            wait = _wait(self._invalid.age((item.key, handler)), self._max_stale)
            longest = f"{self._max_stale:g} s (WORKER_CONFIG_MAX_STALE)"
        self._report(
            item,
            handler,
            problem,
            "No version that worked is known to this process, so its jobs wait for up to "
            f"{longest} and are buried then.",
        )
        return wait

    def serves_on(self, item: ConfigItem, handler: str, problem: str) -> None:
        """The handler can't use the item; its jobs run with the last version that it could."""
        self._report(
            item,
            handler,
            problem,
            "Its jobs run with the last version that worked; their results say stale.",
        )

    def works(self, item: ConfigItem, handler: str) -> None:
        """The handler uses the item: report it if it could not use an earlier version."""
        reports = self._reports.get(item.key)
        if reports is not None and item.asked_at < reports.asked_at:
            return  # read before the bad version, and only slower
        self._missing.forget(item.key)
        self._invalid.forget((item.key, handler))
        self.is_any = bool(self._reports) or bool(self._missing)
        if reports is None or handler not in reports.handlers:
            return
        reports.handlers.discard(handler)
        if reports.works != item.version:
            reports.works = item.version
            log.warning(
                "Config %r can be used again: jobs run with its version %r.",
                item.key,
                item.version,
                extra={"event": "config_usable", "config": item.key},
            )
        if not reports.handlers:
            del self._reports[item.key]

    def _report(self, item: ConfigItem, handler: str, problem: str, meanwhile: str) -> None:
        """Log what is wrong, once for each version of an item."""
        self.is_any = True
        if item.attributes is not None:
            self._missing.forget(item.key)
        reports = self._reports.get(item.key)
        if reports is None:
            if len(self._reports) >= _MOST:
                del self._reports[next(iter(self._reports))]
            reports = self._reports[item.key] = _Reports()
        reports.handlers.add(handler)
        reports.asked_at = max(reports.asked_at, item.asked_at)
        if reports.version != item.version:
            reports.version = item.version
            reports.problems.clear()
        if problem in reports.problems:
            return
        reports.problems.add(problem)
        log.error(
            "Config %r can't be used by handler %r: %s. %s Correct the item ('worker config edit') "
            "or take the edit back ('worker config rollback').",
            item.key,
            handler,
            problem,
            meanwhile,
            extra={
                "event": "config_unusable",
                "cause": problem,
                "config": item.key,
                "handler": handler,
            },
        )


class _Reports:
    """What the log says of one key: the handlers that can't use it, when what they can't use was
    read last, and what was said of which version.
    """

    __slots__ = ("asked_at", "handlers", "problems", "version", "works")

    def __init__(self) -> None:
        self.asked_at: float = -inf
        self.handlers: set[str] = set()
        self.problems: set[str] = set()
        self.version: object = self
        self.works: object = self


class _FirstMet:
    """When each thing was first met, in a row."""

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self._times: dict[Hashable, tuple[float, float]] = {}  # met first, and last
        self._cleared_at = monotonic()

    def __len__(self) -> int:
        return len(self._times)

    def age(self, what: Hashable) -> float:
        """Return for how long this has been known; 0 where it was not, or is not noted."""
        now = self._monotonic()
        first, last = self._times.get(what, (now, now))
        if now - last > _FORGOTTEN:
            first = now
        if what in self._times or len(self._times) < _MOST or self._has_room(now):
            self._times[what] = first, now
        return now - first

    def forget(self, what: Hashable) -> None:
        """It is no more."""
        self._times.pop(what, None)

    def _has_room(self, now: float) -> bool:
        """Make room where something has not been met for long; look no more than once a second."""
        if now - self._cleared_at < 1:
            return False
        self._cleared_at = now
        old = [what for what, (_, last) in self._times.items() if now - last > 2 * _LATEST]
        for what in old:
            del self._times[what]
        return bool(old)


def _wait(age: float, longest: float) -> float:
    """Return how long to wait before the next look; 0 where the longest wait is over."""
    left = longest - age
    if left <= 0:
        return 0.0
    usual = Backoff(base=max(_SOONEST, min(age, _LATEST)), max=_LATEST).equal_jitter(1)
    return max(_SHORTEST, min(usual, left))
