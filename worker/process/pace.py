"""How much a pump claims at once, and when it had better wait.

A flood comes in halves: while Redis settles one half of what there is room for and hands out the
next, the loop runs the other, and neither waits for the other. Where jobs have to wait for their
config first, all that there is room for comes at once, so that one look-up does for it.
"""

import time

from worker.jobs.backoff import Backoff

# Halves pay where an exchange takes no longer than the loop needs for all that there is room for;
# over a longer way, the time under way outweighs what could run meanwhile. Seconds for each job,
# the least that one takes, and for each byte, which both ends copy some ten times.
_JOB = 20e-6
_BYTE = 4e-9
_SLOW_DOWN = Backoff(base=0.5, factor=2.0, max=5.0)


class Pace:
    """One pump's pace. Times are on the host's monotonic clock, in seconds."""

    def __init__(self, concurrency: int) -> None:
        self._half = -(-concurrency // 2)
        self._near = _JOB * concurrency
        self._is_near = False
        self._start_at_once = False
        self._failures = 0
        self._claim_from = 0.0

    def at_most(self, room: int) -> int:
        """How many jobs to ask for where there is room for so many."""
        return min(room, self._half) if self._is_near and self._start_at_once else room

    def exchanged(self, seconds: float, jobs: list[bytes]) -> None:
        """An exchange has taken so long and brought these jobs."""
        self._is_near = seconds <= self._near + _BYTE * sum(map(len, jobs))

    def admitted(self, *, at_once: bool) -> None:
        """Claimed jobs have been taken in; at once if each could start with remembered config."""
        self._start_at_once = at_once

    @property
    def wait(self) -> float:
        """How long to claim nothing yet; 0 or less where claiming is right."""
        return self._claim_from - time.monotonic()

    def slow_down(self) -> None:
        """No job gets its config: claim less often instead of spinning through the queue."""
        self._failures += 1
        self._claim_from = time.monotonic() + _SLOW_DOWN.equal_jitter(self._failures)

    def speed_up(self) -> None:
        """Jobs get their config."""
        self._failures = 0
        self._claim_from = 0.0
