"""The way of a claimed job from bytes to its outcome. Decides everything, touches no store.

`Pipeline.run` lists the steps in their order. Each step takes the claimed job, writes down on it
what it learned, and returns None to let it go on, or the outcome that ends it there.
"""

from collections.abc import Awaitable, Callable, Mapping
from weakref import ref

from worker.errors import Malformed
from worker.execution.bound_handler import BoundHandler
from worker.execution.claimed_job import ClaimedJob
from worker.execution.config_step import ConfigStep
from worker.execution.explanations import explain
from worker.execution.handler_step import HandlerStep
from worker.execution.hooks import Hooks
from worker.execution.log_source import log_source
from worker.execution.outcomes import Outcomes
from worker.jobs.job import decode
from worker.jobs.outcome import Outcome

_set_log_source = log_source.set  # looked up once: every job passes here


class Pipeline:
    """One for a process. `wait_alone` makes a suspect wait until no other job is held."""

    def __init__(
        self,
        handlers: Mapping[str, BoundHandler],
        outcomes: Outcomes,
        config: ConfigStep,
        handler: HandlerStep,
        hooks: Hooks,
        wait_alone: Callable[[ClaimedJob], Awaitable[Outcome | None]],
    ) -> None:
        self._handlers = handlers
        self._outcomes = outcomes
        self._max_job_bytes = outcomes.defaults.max_job_bytes
        self._suspect_from = outcomes.defaults.max_crashes - 1
        self._config = config
        self._handler = handler
        self._hooks = hooks
        self._wait_alone = wait_alone

    async def run(self, claimed: ClaimedJob) -> Outcome | None:
        """From bytes to outcome. None where the job was stopped and there is nothing to record.

        Cancelling the task stops the job, at whatever step it is.
        """
        return (
            self._decode(claimed)
            # Before its config, so that a job past its time ends even while that is away ...
            or (self._check_expiry(claimed) if claimed.job.expires_at is not None else None)
            or self._find_handler(claimed)
            or (
                await self._wait_alone(claimed)
                if claimed.job.crashes >= self._suspect_from
                else None
            )
            # Before its config, so that one that waits for long is no older when the job begins.
            or (await self._take_turn(claimed) if claimed.handler.turns is not None else None)
            or (await self._config.read(claimed) if self._config.needs_read(claimed) else None)
            or (None if self._config.suits(claimed) else await self._config.do_without(claimed))
            or (await self._ask_gates(claimed) if self._hooks.before_run else None)
            # ... and again, since it may have waited in between.
            or (self._check_expiry(claimed) if claimed.job.expires_at is not None else None)
            or self._take_payload(claimed)
            or await self._handler.run(claimed)
        )

    def _decode(self, claimed: ClaimedJob) -> Outcome | None:
        try:
            claimed.job = decode(claimed.raw, claimed.keys, self._max_job_bytes)
        except Malformed as error:
            return self._outcomes.malformed(claimed, error)
        return None

    def _check_expiry(self, claimed: ClaimedJob) -> Outcome | None:
        is_expired = self._outcomes.is_expired(claimed.job)
        return self._outcomes.expired(claimed) if is_expired else None

    def _find_handler(self, claimed: ClaimedJob) -> Outcome | None:
        handler = self._handlers.get(claimed.job.handler)
        if handler is None:
            return self._outcomes.unknown_handler(claimed, ", ".join(sorted(self._handlers)))
        claimed.handler = handler
        return None

    async def _take_turn(self, claimed: ClaimedJob) -> Outcome | None:
        assert claimed.handler.turns is not None  # noqa: S101 - the caller has looked
        await claimed.handler.turns.take(claimed)
        return None

    async def _ask_gates(self, claimed: ClaimedJob) -> Outcome | None:
        for gate in self._hooks.before_run:
            if (outcome := await gate(claimed)) is not None:
                return outcome
        return None

    def _take_payload(self, claimed: ClaimedJob) -> Outcome | None:
        job, handler, view = claimed.job, claimed.handler, claimed.view
        assert view is not None  # noqa: S101 - its config was checked
        _set_log_source(ref(claimed))  # what the user's code logs from here on names the job
        payload = job.payload
        if handler.validate_payload is not None:
            try:
                payload = handler.validate_payload(payload)
            except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
                return self._outcomes.payload_invalid(claimed, explain(error))
        claimed.arguments = handler.arguments(payload, handler.config_of(view), job)
        return None

    # -- for those who run the pipeline --------------------------------------------------------

    def timed_out(self, claimed: ClaimedJob) -> Outcome:
        """The outcome of a handler that does not stop when it is over its time limit."""
        return self._outcomes.timed_out(claimed)

    def faulty(self, claimed: ClaimedJob, error: Exception) -> Outcome:
        """The outcome of a job on which the worker itself failed."""
        return self._outcomes.faulty(claimed, error)
