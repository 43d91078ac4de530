"""Knows whether Redis is away: one log line when it goes, one when it returns, and how long to wait
before the next try.
"""

import logging
import time

from worker.jobs.backoff import Backoff

log = logging.getLogger("worker")

# Seconds. A second at most, so that claiming resumes within one or two of Redis's return.
_RETRY = Backoff(base=0.05, factor=2.0, max=1.0)


class RedisOutage:
    """Shared by all that talk to Redis for one worker."""

    def __init__(self) -> None:
        self._failures = 0
        self._since = 0.0

    @property
    def lasts(self) -> bool:
        """Whether the last exchange failed."""
        return self._failures > 0

    def failed(self, error: Exception) -> float:
        """Note that Redis failed; tells how many seconds to wait before the next try."""
        self._failures += 1
        if self._failures == 1:
            self._since = time.monotonic()
            log.error(
                "Redis is away: %s: %s. Running jobs go on and their outcomes are kept; claiming "
                "resumes by itself once Redis is back.",
                type(error).__name__,
                str(error).rstrip("."),
            )
        return _RETRY.equal_jitter(min(self._failures, 10))

    def over(self) -> None:
        """Note that Redis answered."""
        if self._failures:
            seconds = time.monotonic() - self._since
            log.warning("Redis is back after %.1f s; claiming resumes.", seconds)
            self._failures = 0
