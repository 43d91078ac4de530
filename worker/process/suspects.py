"""Suspects: jobs that one more crash of their worker would bury.

A suspect runs while its worker holds no other job, so that no other job is charged with a crash
that the suspect causes. While one waits or runs, the worker claims nothing.

- A second suspect goes back to the front of the queue: another worker may be free sooner.
- One that could not run alone within a lease, because long jobs run beside it, is scheduled for a
  lease later: another worker may try.
- The recoverer gives a dead worker's suspects back first, with op `last`: Redis buries one only if
  it was the only job in the dead worker's active list.
"""

import asyncio
from collections.abc import Callable

import anyio

from worker.execution.claimed_job import ClaimedJob
from worker.jobs.outcome import Outcome, later, requeue
from worker.process.slots import Slots


class Suspects:
    """Lets one suspect at a time through, when it is alone.

    `is_certain` says whether every loop knows what Redis's active list holds: else jobs may have
    been claimed that nobody counts yet.
    """

    def __init__(self, slots: Slots, lease: float, is_certain: Callable[[], bool]) -> None:
        self._slots = slots
        self._lease = lease
        self._is_certain = is_certain
        self._current: ClaimedJob | None = None
        self._changed = asyncio.Event()

    async def wait_alone(self, claimed: ClaimedJob) -> Outcome | None:
        """Return None once no other job is held, or an outcome that passes the suspect on."""
        if self._current is not None:
            return requeue(claimed.raw)
        self._current = claimed
        self._slots.reserve_for_suspect(self._changed.set)
        with anyio.move_on_after(self._lease):
            while self._slots.used > 1 or not self._is_certain():
                self._changed.clear()
                await self._changed.wait()
            return None
        return later(claimed.raw, claimed.raw, self._lease)

    def gone(self, jobs: list[ClaimedJob]) -> None:
        """These jobs are recorded or lost. If the suspect is one of them, claiming resumes."""
        if self._current is not None and self._current in jobs:
            self._current = None
            self._slots.end_reservation()

    def look(self) -> None:
        """A loop has reconciled."""
        self._changed.set()
