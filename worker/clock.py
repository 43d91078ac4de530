"""Redis's clock, as far as this process knows it.

What is stored, and what is compared with it, is on Redis's clock, however wrong the host's is. The
host's monotonic clock only measures the time since Redis last told its own.
"""

import time
from collections.abc import Callable


class RedisClock:
    """Tells Redis's time between the replies that carry it; off by half a round trip at most."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ahead = time.time() - monotonic()

    def sent(self) -> float:
        """The moment a command leaves, to hand to `learn` with its reply."""
        return self._monotonic()

    def learn(self, redis_ms: int, sent: float) -> None:
        """Take over Redis's time from the reply to a command that left at `sent`."""
        self._ahead = redis_ms / 1000 - (sent + self._monotonic()) / 2

    def now_ms(self) -> int:
        """Redis's time, in ms since the epoch."""
        return int((self._monotonic() + self._ahead) * 1000)
