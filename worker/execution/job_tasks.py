"""Starts runs and stops them: a task each, one timer for all time limits.

These are plain asyncio tasks and not children of the service's task group, for two reasons. A task
group can't be left while a handler swallows its cancellation, and the worker must be able to go.
And a child of a group costs four times as much as a task.
"""

import asyncio
import logging
from collections.abc import Callable
from math import inf

from worker.execution.claimed_job import ClaimedJob, StopReason
from worker.execution.executor import Executor
from worker.jobs.outcome import Outcome

log = logging.getLogger("worker")

# Seconds that a cancelled handler has to clean up before it is given up.
STUBBORN_AFTER = 3.0


class JobTasks:
    """The runs under way. `settle` is told each outcome, None where there is none to record."""

    def __init__(
        self, executor: Executor, settle: Callable[[ClaimedJob, Outcome | None], None]
    ) -> None:
        self._executor = executor
        self._settle = settle
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_at = 0.0
        self.running: set[ClaimedJob] = set()
        self.stubborn: set[asyncio.Task[None]] = set()

    def start(self, run: ClaimedJob) -> None:
        """Start a run that has its config. Its time limit counts from its first step."""
        self.running.add(run)
        run.task = self._loop.create_task(self._go(run))

    def cancel(self, run: ClaimedJob, verdict: StopReason) -> None:
        """Cancel a run under way; its handler may clean up for a moment."""
        if run.over or run.task is None:
            return
        run.verdict = verdict
        run.task.cancel()
        if run.deadline == inf:
            self._end(run, None)  # a task cancelled before its first step never takes one
        else:
            self._limit(run, self._loop.time() + STUBBORN_AFTER)

    def run_of(self, task: "asyncio.Task[object] | None") -> ClaimedJob | None:
        """The run that a task belongs to, for the watchdog."""
        return next((run for run in self.running.copy() if run.task is task), None)

    async def _go(self, run: ClaimedJob) -> None:
        outcome: Outcome | None = None
        assert run.view is not None  # noqa: S101 - configured before
        self._limit(run, self._loop.time() + run.view.policy.timeout)
        try:
            outcome = await self._executor.execute(run)
        except asyncio.CancelledError:
            # Ours, with nothing to record; the task ends here anyway. Anybody else's goes on.
            if run.verdict is None:
                raise
        except Exception as error:
            # A fault of ours, not of the handler's: without an outcome the job would be held for
            # ever, by a worker that lives.
            log.exception(
                "Job %r (%r) met a fault of the worker itself.", run.job.id, run.job.handler
            )
            outcome = self._executor.failed(run, error)
        finally:
            self._end(run, outcome)

    def _end(self, run: ClaimedJob, outcome: Outcome | None) -> None:
        if not run.over:
            run.over = True
            self.running.discard(run)
            self._settle(run, outcome)

    def _limit(self, run: ClaimedJob, deadline: float) -> None:
        run.deadline = deadline
        if self._timer is None or deadline < self._timer_at:
            if self._timer is not None:
                self._timer.cancel()
            self._timer_at = deadline
            self._timer = self._loop.call_at(deadline, self._sweep)

    def _sweep(self) -> None:
        """Stop what is over its time, and set the timer for whoever comes next."""
        self._timer = None
        now = self._loop.time()
        for run in [run for run in self.running if run.deadline <= now]:
            if run.verdict is None:
                self.cancel(run, StopReason.TIMEOUT)
            else:
                self._give_up(run)
        if self.running:
            earliest = min(self.running, key=lambda run: run.deadline)
            self._limit(earliest, earliest.deadline)

    def _give_up(self, run: ClaimedJob) -> None:
        """Go on without a handler that swallows its cancellation; what it returns is dropped."""
        assert run.task is not None  # noqa: S101 - it was cancelled
        log.error(
            "Job %r (%r) was cancelled (%s) and has not stopped for %.0f s: its handler swallows "
            "cancellation. The worker goes on without it; let it re-raise CancelledError.",
            run.job.id,
            run.job.handler,
            run.verdict.value if run.verdict else "",
            STUBBORN_AFTER,
        )
        self.stubborn.add(run.task)
        run.task.add_done_callback(self.stubborn.discard)
        outcome = self._executor.timed_out(run) if run.verdict is StopReason.TIMEOUT else None
        self._end(run, outcome)
