"""Doubt: what Redis's active list holds may differ from what this worker believes.

It is so at the start, after a reply that did not arrive, and after the lease ended: a claim may
have been done without our hearing of it, jobs may have been given to other workers. Then, before
the next exchange, the loop registers again and compares.

- A job that Redis no longer lists is lost: its handler is cancelled, its outcome discarded.
- A job that Redis lists and we don't know was claimed by a lost reply: it runs now.
"""

import logging
import time
from collections.abc import Mapping, Sequence

from worker.broker.queue import Queue
from worker.execution.claimed_job import ClaimedJob, StopReason
from worker.process.held import HeldJobs
from worker.process.parts import Parts

log: logging.Logger = logging.getLogger("worker")


class Doubt:
    """Whether there is doubt about one queue, and how it is settled. True while there is."""

    def __init__(self, queue: Queue, held: HeldJobs, parts: Parts) -> None:
        self._queue = queue
        self._held = held
        self._parts = parts
        self._raised = True
        self._lease_ended = False
        self._renewed_at: float | None = None  # monotonic seconds; None before the first lease
        self._refused = 0  # outcomes that Redis refused since the lease ended
        self._unanswered: list[ClaimedJob] = []  # whose outcomes an exchange took with no reply

    def __bool__(self) -> bool:
        return self._raised

    def raised(self, *, lease_ended: bool = False) -> None:
        """Compare with Redis before the next exchange."""
        self._raised = True
        self._lease_ended |= lease_ended

    def renewed(self) -> None:
        """The heartbeat renewed the lease."""
        self._renewed_at = time.monotonic()

    def unanswered(self, sent: list[ClaimedJob]) -> None:
        """An exchange with these jobs' outcomes was sent, and its reply did not arrive."""
        self._unanswered = sent

    async def reconcile(self) -> list[ClaimedJob]:
        """Register, and make what we hold agree with the active list. Return jobs to run."""
        recorded = await self._recorded_unseen()
        self._held.confirmed(recorded)
        for claimed in recorded:
            for hook in self._parts.hooks.recorded:
                if claimed.outcome is not None:
                    hook(claimed, claimed.outcome)
        listed = await self._queue.register(self._parts.lease)
        lost, unseen = self._held.reconcile(listed)
        undecided = [claimed for claimed in lost if claimed.is_open]
        for claimed in undecided:
            self._parts.tasks.stop(claimed, StopReason.LOST)
        if self._lease_ended and self._renewed_at is not None:
            self._log_lost_lease(len(lost) + self._refused, len(undecided))
        elif undecided:
            log.warning(
                "%s: no longer this worker's, since Redis does not list it as active on %r. The "
                "handler is cancelled.",
                _count(undecided),
                self._queue.name,
                extra=undecided[0].about("job_lost"),
            )
        if unseen:
            log.warning(
                "%s: claimed on %r by a call whose reply was lost; runs now.",
                _count(unseen),
                self._queue.name,
                extra=unseen[0].about("job_found"),
            )
        self._raised = self._lease_ended = False
        self._refused = 0
        self.renewed()
        self._parts.suspects.look()
        return unseen

    async def _recorded_unseen(self) -> list[ClaimedJob]:
        """Return the jobs of the exchange without a reply, if Redis did it.

        An exchange is all or nothing, so the result of one job answers for all. Without this look,
        a job of the same bytes that the same exchange claimed would be taken for the job that it
        recorded: the outcome would be sent again, and record a job that never ran.
        """
        for claimed in self._unanswered:
            outcome = claimed.outcome
            if outcome is not None and outcome.result:
                recorded = await self._queue.has_recorded(outcome)
                sent, self._unanswered = self._unanswered, []
                return sent if recorded else []
        self._unanswered = []
        return []

    def refused(self, jobs: Sequence[ClaimedJob], *, lease_live: bool) -> None:
        """Redis refused these outcomes: their jobs are no longer in the active list."""
        if not lease_live:
            self._refused += len(jobs)  # reported with the lost lease, in one line
        else:
            log.warning(
                "%s: outcome discarded, this worker no longer owns the job: it was recorded or "
                "given back before. Nothing needs to be done.",
                _count(jobs),
                extra=jobs[0].about("outcome_discarded"),
            )

    def complained(self, complaints: Mapping[ClaimedJob, str]) -> None:
        """Redis recorded these results, but refused to push or publish them."""
        log.error(
            "%s: Redis did not take a result for its reply_to or channel (%s). The result "
            "itself is recorded. Look at the type of that list and at the ACL.",
            _count(list(complaints)),
            next(iter(complaints.values())),
            extra=next(iter(complaints)).about("reply_refused"),
        )

    def _log_lost_lease(self, jobs: int, cancelled: int) -> None:
        ended = time.monotonic() - (self._renewed_at or 0.0) - self._parts.lease
        log.log(
            logging.WARNING if jobs else logging.INFO,
            "Lost the lease on queue %r, which ended %.1f s ago: %d jobs are no longer this "
            "worker's (other workers run them). %d of their handlers are cancelled, all their "
            "outcomes discarded. This worker has a new lease and goes on.",
            self._queue.name,
            max(0.0, ended),
            jobs,
            cancelled,
            extra={"event": "lease_lost", "queue": self._queue.name},
        )
        self._parts.hooks.event("lease_lost", queue=self._queue.name, jobs=jobs)


def _count(jobs: Sequence[ClaimedJob]) -> str:
    """The first job, and how many more there are."""
    first = str(jobs[0])
    return first if len(jobs) == 1 else f"{first} and {len(jobs) - 1} more jobs"
