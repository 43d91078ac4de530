"""Starts jobs and stops them: one task each.

These are plain asyncio tasks and not children of the service's task group, for two reasons. A task
group can't be left while a handler swallows its cancellation, and the worker must be able to go.
And a child of a group costs four times as much as a task.
"""

import asyncio
import logging
from collections.abc import Iterable

from worker.execution.claimed_job import ClaimedJob, JobState, StopReason
from worker.execution.pipeline import Pipeline
from worker.execution.time_limits import TimeLimits
from worker.jobs.outcome import Outcome, requeue

log: logging.Logger = logging.getLogger("worker")

# Seconds that a cancelled handler has to clean up before the worker goes on without it.
CLEANUP_SECONDS = 3.0
# Looked up once: a member of an enumeration costs as much as a call.
_WAITING, _DECIDED, _GONE = JobState.WAITING, JobState.DECIDED, JobState.GONE


class JobTasks:
    """The tasks of one process's jobs. Each job's outcome goes to its own `settle`."""

    def __init__(self, pipeline: Pipeline, limits: TimeLimits) -> None:
        self._pipeline = pipeline
        self._limits = limits
        self._loop = asyncio.get_running_loop()
        limits.on_due = self._over_time
        self.uncancellable: set[asyncio.Task[None]] = set()

    @property
    def running(self) -> set[ClaimedJob]:
        """The jobs whose handler runs or cleans up."""
        return self._limits.running

    def start(self, jobs: Iterable[ClaimedJob]) -> None:
        """Send jobs through the pipeline, unless they were given back in the meantime."""
        create_task, run = self._loop.create_task, self._run
        for claimed in jobs:
            if claimed.state is _WAITING:
                claimed.task = create_task(run(claimed))

    def stop(self, claimed: ClaimedJob, reason: StopReason) -> None:
        """Cancel a job that is under way. Its handler may clean up for CLEANUP_SECONDS."""
        if not claimed.is_open:
            return
        waiting = claimed.state is JobState.WAITING
        claimed.stop_reason = reason
        if claimed.task is not None:
            claimed.task.cancel()
        if waiting:
            # Now, since a task that is cancelled before its first step never takes one.
            returned = reason is StopReason.RETURNED
            self._end(claimed, requeue(claimed.raw) if returned else None)
        else:
            claimed.state = JobState.STOPPING
            self._limits.begin(claimed, CLEANUP_SECONDS)

    async def _run(self, claimed: ClaimedJob) -> None:
        outcome: Outcome | None = None
        try:
            outcome = await self._pipeline.run(claimed)
        except asyncio.CancelledError:
            # Ours, with nothing to record; the task ends here anyway. Anybody else's goes on.
            if claimed.stop_reason is None:
                raise
        except Exception as error:
            # A fault of the worker, not of the handler. Without an outcome a living worker would
            # hold the job for ever.
            log.exception(
                "%s met a fault of the worker itself; it counts as a failure.",
                claimed,
                extra=claimed.about("worker_fault", type(error).__name__),
            )
            outcome = self._pipeline.faulty(claimed, error)
        finally:
            self._end(claimed, outcome)

    def _end(self, claimed: ClaimedJob, outcome: Outcome | None) -> None:
        if claimed.state is not _DECIDED and claimed.state is not _GONE:
            self._limits.running.discard(claimed)
            claimed.state = _GONE if outcome is None else _DECIDED
            claimed.outcome = outcome
            if claimed.on_end is not None:
                claimed.on_end(claimed)
            if claimed.settle is not None:
                claimed.settle(claimed, outcome)

    def _over_time(self, claimed: ClaimedJob) -> None:
        if claimed.state is JobState.RUNNING:
            self.stop(claimed, StopReason.TIMEOUT)
        else:
            self._give_up(claimed)

    def _give_up(self, claimed: ClaimedJob) -> None:
        """Go on without a handler that swallows its cancellation; its result is discarded."""
        log.error(
            "%s was cancelled (%s) and has not stopped for %.0f s: its handler swallows "
            "cancellation. The worker goes on without it; let it re-raise CancelledError.",
            claimed,
            claimed.stop_reason.value if claimed.stop_reason else "",
            CLEANUP_SECONDS,
            extra=claimed.about("handler_stuck"),
        )
        if claimed.task is not None:
            self.uncancellable.add(claimed.task)
            claimed.task.add_done_callback(self.uncancellable.discard)
        timed_out = claimed.stop_reason is StopReason.TIMEOUT
        self._end(claimed, self._pipeline.timed_out(claimed) if timed_out else None)
