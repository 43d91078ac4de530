"""Whether reads of the config table fail now, when to try again, and what the log says of it."""

import logging
from collections.abc import Callable

from worker.errors import ConfigUnavailable
from worker.jobs.backoff import Backoff

log: logging.Logger = logging.getLogger("worker.config")

# Seconds until the next read after one that failed. Until then look-ups are answered from the
# cache, or fail at once, instead of each waiting for the SDK's time-outs.
_PAUSE = Backoff(base=0.2, factor=2.0, max=5.0)
# An outage that no read has met for so many seconds may be over: look-ups wait for reads again.
_FORGOTTEN = 15.0


class ConfigOutage:
    """The failures of reads in a row. All times are in seconds, on the clock `monotonic`.

    A read that began before the last failure was noted is ignored: of several reads under way when
    DynamoDB goes away, one counts. `in_a_row` counts the failures since the last read that worked,
    however long ago.
    """

    def __init__(self, monotonic: Callable[[], float]) -> None:
        self._monotonic = monotonic
        self.in_a_row: int = 0
        self._misconfigured = False
        self._began_at = 0.0
        self._failed_at = 0.0
        self._retry_at = 0.0

    @property
    def failures(self) -> int:
        """How many reads in a row have failed; 0 unless DynamoDB is away."""
        if not self.in_a_row or self._monotonic() - self._failed_at > _FORGOTTEN:
            return 0
        return self.in_a_row

    @property
    def pauses_reads(self) -> bool:
        """Whether the last failure is so recent that no read is to be tried yet."""
        return self.in_a_row > 0 and self._monotonic() < self._retry_at

    def is_older(self, asked_at: float) -> bool:
        """Whether what was asked for at this time was asked for before the outage's last read."""
        return self.failures > 0 and asked_at < self._began_at

    def failed(self, error: ConfigUnavailable, began_at: float) -> None:
        """Note a failed read. Log an outage once, and again when its kind changes."""
        if self.in_a_row and began_at < self._failed_at:
            return
        self.in_a_row += 1
        self._began_at = began_at
        self._failed_at = self._monotonic()
        self._retry_at = self._failed_at + _PAUSE.equal_jitter(self.in_a_row)
        if self.in_a_row > 1 and error.misconfigured == self._misconfigured:
            return
        self._misconfigured = error.misconfigured
        log.error(
            "Config can't be read: %s. %s; meanwhile jobs run with remembered config, or wait in "
            "the scheduled set.",
            error,
            "An operator has to fix this" if error.misconfigured else "The worker tries again",
            extra={"event": "config_away"},
        )

    def succeeded(self, began_at: float) -> None:
        """Note a read that worked."""
        if self.in_a_row and began_at >= self._failed_at:
            self.in_a_row = 0
            log.warning(
                "DynamoDB can be read again; jobs run with fresh config.",
                extra={"event": "config_back"},
            )
