"""Redis's clock, as this process knows it.

All times that are stored or compared with stored ones are on Redis's clock, so a host's clock may
be wrong. The host's monotonic clock only measures the time since Redis's last reply.
"""

import math
import time
from collections.abc import Callable

_DRIFT = 0.001  # seconds in a second that two clocks may drift apart; quartz is ten times better
_RESOLUTION = 0.001  # seconds; Redis's time comes in ms


class RedisClock:
    """Redis's time between the replies that carry it, wrong by at most `off_by`."""

    def __init__(self, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._monotonic = monotonic
        self._ahead = time.time() - monotonic()
        self._off_by = math.inf
        self._learned_at = monotonic()

    def sent(self) -> float:
        """Return the moment a command is sent, for `learn` to take with its reply."""
        return self._monotonic()

    def learn(self, redis_ms: int, sent: float) -> None:
        """Take Redis's time from the reply to a command that was sent at `sent`.

        A slow reply, or one that the loop read late, is less exact than an earlier quick one. It is
        used only where it proves the earlier one wrong.
        """
        now = self._monotonic()
        ahead, off_by = redis_ms / 1000 - (sent + now) / 2, (now - sent) / 2 + _RESOLUTION
        known = self.off_by
        if off_by <= known or abs(ahead - self._ahead) > off_by + known:
            self._ahead, self._off_by, self._learned_at = ahead, off_by, now

    @property
    def off_by(self) -> float:
        """How many seconds `now_ms` may be wrong by; infinite before the first reply."""
        return self._off_by + (self._monotonic() - self._learned_at) * _DRIFT

    def now_ms(self) -> int:
        """Redis's time, in ms since the epoch."""
        return int((self._monotonic() + self._ahead) * 1000)
