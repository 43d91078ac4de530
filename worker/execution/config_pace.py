"""Whether jobs find their config: sets the pace of claiming."""

import time
from collections.abc import Callable

from worker.jobs.backoff import Backoff

# Seconds. How long claiming pauses while no job gets its config.
_PAUSE = Backoff(base=0.5, factor=2.0, max=5.0)
# Seconds. How long claiming waits for jobs that wait for their config: many usual reads.
_GATHER = 0.2


class ConfigPace:
    """Whether jobs find their config. When none does, claiming pauses, or the worker would spin
    through the queue and put job after job into the scheduled set.

    The pipeline counts; the loops look at `pause`.
    """

    def __init__(self, concurrency: int, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._concurrency = concurrency
        self._monotonic = monotonic
        self.ready_in_a_row: int = 0
        self.failed_in_a_row: int = 0
        self._waiting = 0
        self._last_waited_at = 0.0
        self._pauses = 0
        self._claim_from = 0.0

    @property
    def pause(self) -> float:
        """Seconds until claiming is allowed again; 0 or less: now."""
        return self._claim_from - self._monotonic() if self._claim_from else 0.0

    def recovered(self) -> None:
        """A job has its config again."""
        self.failed_in_a_row = self._pauses = 0
        self._claim_from = 0.0

    def gather(self, free: int) -> float:
        """Seconds to leave so many free slots empty; 0 or less: fill them now.

        While more jobs wait for a read of their config than could be claimed, a claim would split
        the keys over two reads, and the jobs would go on in two groups for the rest of a flood.
        """
        if 0 < free <= self._waiting:
            return self._last_waited_at + _GATHER - self._monotonic()
        return 0.0

    def waits(self) -> None:
        """A job has to wait for a read of its config."""
        self.ready_in_a_row = 0
        self._waiting += 1
        self._last_waited_at = self._monotonic()

    def waited(self) -> None:
        """Its read has ended, or it waits no longer."""
        self._waiting -= 1

    def failed(self) -> None:
        """A job's config could not be read. As many in a row as there are slots: pause."""
        self.failed_in_a_row += 1
        if self.failed_in_a_row % self._concurrency == 0:
            self._pauses += 1
            self._claim_from = self._monotonic() + _PAUSE.equal_jitter(self._pauses)
