"""The last step of the pipeline: run the handler and judge what came of it."""

import asyncio
from contextlib import AbstractContextManager
from typing import Any
from weakref import ref

from worker.execution.batches import Batch
from worker.execution.claimed_job import ClaimedJob, JobState, StopReason
from worker.execution.hooks import Hooks
from worker.execution.log_source import log_source
from worker.execution.outcomes import Outcomes
from worker.execution.threads import HandlerThreads
from worker.execution.time_limits import TimeLimits
from worker.jobs.outcome import Outcome
from worker.runtime.forks import Child, contained_forks, end_child

_RUNNING = JobState.RUNNING  # looked up once: a member of an enumeration costs as much as a call


class HandlerStep:
    """One for a process."""

    def __init__(
        self, outcomes: Outcomes, limits: TimeLimits, threads: HandlerThreads, hooks: Hooks
    ) -> None:
        self._outcomes = outcomes
        self._limits = limits
        self._threads = threads
        self._hooks = hooks

    async def run(self, claimed: ClaimedJob) -> Outcome | None:
        """Run the handler.

        Return None where there is nothing to record: the job was stopped from outside, and its
        handler made another error of the cancellation.
        """
        assert claimed.view is not None  # noqa: S101 - its config was checked
        claimed.state = _RUNNING
        claimed.started_at = self._outcomes.now_ms()
        self._limits.begin(claimed, claimed.view.policy.timeout)
        handler = claimed.handler
        try:
            if self._hooks.around_run:
                value = await self._call_within_hooks(claimed)
            else:
                if handler.is_direct:
                    value = await handler.function(**claimed.arguments)
                else:
                    value = await self._call(claimed)
                result_type = handler.result_type
                if result_type is not None and type(value) is not result_type.plain:
                    value = result_type.as_json(result_type.valid(value))
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            timed_out = claimed.stop_reason is StopReason.TIMEOUT
            if not timed_out and task is not None and task.cancelling():
                raise
            # Without a cancel of ours, the handler let the cancellation of another task escape.
            return self._after_error(claimed, cancelled)
        except BaseException as error:  # noqa: BLE001
            # Whatever a handler raises is that job's failure, also what would end the process:
            # sys.exit(), a library's KeyboardInterrupt. The process has its own signal handlers.
            return self._after_error(claimed, error)
        if Child.is_here:
            end_child()
        if claimed.stop_reason is not None and claimed.stop_reason is StopReason.TIMEOUT:
            return self._timed_out(claimed, None)
        return self._outcomes.succeeded(claimed, value)

    async def _call(self, claimed: ClaimedJob) -> Any:
        handler, arguments = claimed.handler, claimed.arguments
        if handler.takes_batches:
            return await claimed.batch.result_of(claimed, self._call_batch)
        if handler.is_async:
            return await handler.function(**arguments)
        return await self._threads.run(claimed, lambda: handler.function(**arguments))

    async def _call_batch(self, batch: Batch, jobs: list[ClaimedJob]) -> Any:
        """Call a batch handler. The time limits of its jobs begin now, and end together."""
        log_source.set(ref(batch))
        handler, now = jobs[0].handler, asyncio.get_running_loop().time()
        started_at = self._outcomes.now_ms()
        for claimed in jobs:
            assert claimed.view is not None  # noqa: S101 - its config was checked
            claimed.started_at = started_at
            self._limits.begin(claimed, claimed.view.policy.timeout)
            claimed.deadline = now + claimed.view.policy.timeout
        arguments = handler.batch_arguments([claimed.arguments for claimed in jobs])
        try:
            if handler.is_async:
                return await handler.function(**arguments)
            return await self._threads.run(batch, lambda: handler.function(**arguments))
        finally:
            end_child()

    async def _call_within_hooks(self, claimed: ClaimedJob) -> Any:
        """Call the handler inside the hooks. Their value is the result: the handler's own by its
        type, another as it is.
        """
        own: list[Any] = []
        value = await self._call_within(claimed, own, 0)
        result_type = claimed.handler.result_type
        if result_type is not None and own and value is own[0]:
            return result_type.as_json(value)
        return value

    async def _call_within(self, claimed: ClaimedJob, own: list[Any], at: int) -> Any:
        """Call what is inside the hooks from the number `at` on, outermost first. Put the handler's
        own value into `own`.
        """
        around = self._hooks.around_run
        if at < len(around):
            return await around[at](claimed, lambda: self._call_within(claimed, own, at + 1))
        value, result_type = await self._call(claimed), claimed.handler.result_type
        own[:] = [value if result_type is None else result_type.valid(value)]
        return own[0]

    def _after_error(self, claimed: ClaimedJob, error: BaseException) -> Outcome | None:
        end_child()
        if claimed.stop_reason is StopReason.TIMEOUT:
            return self._timed_out(claimed, error)
        return self._outcomes.failed(claimed, error) if claimed.stop_reason is None else None

    def _timed_out(self, claimed: ClaimedJob, error: BaseException | None) -> Outcome | None:
        # The outcome of a job that the worker has gone on without is made already.
        return self._outcomes.timed_out(claimed, error) if claimed.is_open else None


def forks_contained() -> AbstractContextManager[None]:
    """Return a context in which a child that a handler forks ends where the handler's code does."""
    boundaries = (HandlerStep.run, HandlerStep._call, HandlerStep._call_batch)  # noqa: SLF001
    return contained_forks(frozenset(function.__code__ for function in boundaries))
