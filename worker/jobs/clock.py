"""Redis's clock, as far as this process knows it.

What is stored, and what is compared with it, is on Redis's clock, however wrong the host's is. The
host's monotonic clock only measures the time since Redis last told its own.
"""

import math
import time
from collections.abc import Callable

_DRIFT = 0.001  # seconds a second by which two clocks may part; quartz is ten times better
_RESOLUTION = 0.001  # seconds


class RedisClock:
    """Tells Redis's time between the replies that carry it, off by half a quick round trip."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ahead = time.time() - monotonic()
        self._off_by = math.inf
        self._learned_at = monotonic()

    def sent(self) -> float:
        """The moment a command leaves, to hand to `learn` with its reply."""
        return self._monotonic()

    def learn(self, redis_ms: int, sent: float) -> None:
        """Take over Redis's time from the reply to a command that left at `sent`.

        A reply that took long, or that the loop was late to read, tells less than an earlier quick
        one; it counts only where it proves that one wrong.
        """
        now = self._monotonic()
        ahead, off_by = redis_ms / 1000 - (sent + now) / 2, (now - sent) / 2 + _RESOLUTION
        known = self.off_by
        if off_by <= known or abs(ahead - self._ahead) > off_by + known:
            self._ahead, self._off_by, self._learned_at = ahead, off_by, now

    @property
    def off_by(self) -> float:
        """By how many seconds `now_ms` may be wrong; infinite before Redis has told its time."""
        return self._off_by + (self._monotonic() - self._learned_at) * _DRIFT

    def now_ms(self) -> int:
        """Redis's time, in ms since the epoch."""
        return int((self._monotonic() + self._ahead) * 1000)
