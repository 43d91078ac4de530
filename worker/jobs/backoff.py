"""How long to wait before trying again. Pure: no clock, no store."""

import random
from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Backoff:
    """Exponential backoff with full jitter; all times in seconds.

    Full jitter spreads retries best: see "Exponential Backoff And Jitter", AWS Architecture Blog.
    """

    base: float = 1.0
    factor: float = 2.0
    max: float = 300.0

    def ceiling(self, failures: int) -> float:
        """The longest wait after so many failures in a row (1 for the first)."""
        try:
            return min(self.max, self.base * self.factor ** (failures - 1))
        except OverflowError:
            return self.max

    def delay(self, failures: int, jitter: Callable[[], float] = random.random) -> float:
        """A wait between 0 and the ceiling."""
        return self.ceiling(failures) * jitter()

    def equal_jitter(self, failures: int, jitter: Callable[[], float] = random.random) -> float:
        """A wait between half the ceiling and the ceiling, for polling something that is away."""
        return self.ceiling(failures) * (0.5 + jitter() / 2)
