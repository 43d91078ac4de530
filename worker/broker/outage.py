"""Notes outages of Redis: one log line when one begins, one when it ends, and when to try again."""

import logging
import time
from collections.abc import Callable
from typing import Any

from worker.jobs.backoff import Backoff

log: logging.Logger = logging.getLogger("worker")

# Seconds. A second at most, so that claiming resumes within two of Redis's return.
_RETRY = Backoff(base=0.05, factor=2.0, max=1.0)

# A failure within so many seconds of an outage's end belongs to it, and is logged only if so many
# tries in a row fail.
_ECHO = 1.0
_REAL = 5


def _nobody_listens(_: str, **__: Any) -> None: ...


class RedisOutage:
    """One for all parts of a worker that use Redis, so that an outage is logged once.

    `on_event` is called with `redis_away` and its `error`, and `redis_back` and its `seconds`.
    """

    def __init__(self, on_event: Callable[..., None] = _nobody_listens) -> None:
        self._on_event = on_event
        self._failures = 0
        self._began_at = 0.0
        self._ended_at = -_ECHO
        self._is_echo = False

    def failed(self, error: Exception) -> float:
        """Note that a command failed. Return how many seconds to wait before the next try."""
        now = time.monotonic()
        self._failures += 1
        if self._failures == 1:
            self._began_at = now
            # After a failover each connection finds out for itself that its server was demoted.
            self._is_echo = now - self._ended_at < _ECHO
        if self._failures == (_REAL if self._is_echo else 1):
            self._is_echo = False
            log.error(
                "Redis is away: %s: %s. Running jobs go on and their outcomes are kept. Claiming "
                "resumes by itself once Redis is back.",
                type(error).__name__,
                str(error).rstrip("."),
                extra={"event": "redis_away"},
            )
            self._on_event("redis_away", error=type(error).__name__)
        return _RETRY.equal_jitter(self._failures)

    def over(self) -> None:
        """Note that Redis answered."""
        if self._failures and self._is_echo:
            self._failures = 0
        elif self._failures:
            self._ended_at = time.monotonic()
            seconds = time.monotonic() - self._began_at
            log.warning(
                "Redis is back after %.1f s; claiming resumes.",
                seconds,
                extra={"event": "redis_back"},
            )
            self._failures = 0
            self._on_event("redis_back", seconds=seconds)
