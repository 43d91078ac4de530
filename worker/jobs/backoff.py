"""How long to wait before the next try. Pure: no clock, no store.

The two kinds of jitter are those of Marc Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015.
"""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff. `base` and `max` are in seconds."""

    base: float = 1.0
    factor: float = 2.0
    max: float = 300.0

    def ceiling(self, failures: int) -> float:
        """Return the longest wait, in seconds, after so many failures in a row (1: the first)."""
        try:
            return min(self.max, self.base * self.factor ** (failures - 1))
        except OverflowError:
            return self.max

    def delay(self, failures: int, jitter: Callable[[], float] = random.random) -> float:
        """Return a wait with full jitter: from 0 seconds to the ceiling.

        For jobs, as it spreads the retries of many over the most time.
        """
        return self.ceiling(failures) * jitter()

    def equal_jitter(self, failures: int, jitter: Callable[[], float] = random.random) -> float:
        """Return a wait with equal jitter: from half the ceiling to the ceiling, in seconds.

        For a server that is away, which is never asked again at once.
        """
        return self.ceiling(failures) * (0.5 + jitter() / 2)
