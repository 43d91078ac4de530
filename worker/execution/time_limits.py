"""The time limits of all running handlers, kept by one timer.

A timer for each job would cost more than the job: asyncio.timeout takes 6 microseconds, this one
comparison.
"""

import asyncio
from collections.abc import Callable
from math import inf

from worker.execution.claimed_job import ClaimedJob


class TimeLimits:
    """Calls `on_due` for each job in `running` whose deadline has passed.

    Whoever ends a job takes it out of `running`.
    """

    def __init__(self) -> None:
        self.running: set[ClaimedJob] = set()
        self.on_due: Callable[[ClaimedJob], None] = _nothing_due
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = inf

    def begin(self, claimed: ClaimedJob, seconds: float) -> None:
        """Watch a job whose handler begins now, or whose limit begins again."""
        self.running.add(claimed)
        claimed.deadline = self._loop.time() + seconds
        if claimed.deadline < self._timer_at:
            self._set_timer(claimed.deadline)

    def _set_timer(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = at
        self._timer = self._loop.call_at(at, self._look)

    def _look(self) -> None:
        self._timer, self._timer_at = None, inf
        now = self._loop.time()
        for claimed in [claimed for claimed in self.running if claimed.deadline <= now]:
            self.on_due(claimed)
        if self.running:
            earliest = min(claimed.deadline for claimed in self.running)
            if earliest < self._timer_at:
                self._set_timer(earliest)


def _nothing_due(_: ClaimedJob) -> None:
    raise AssertionError("a job is over its limit, and nobody registered to stop it")
