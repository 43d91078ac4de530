"""One job and its config become one outcome. Decides everything, touches no store.

    raw bytes --admit--> Run --configure--> Run with a view --execute--> Outcome

Each step may already know the outcome: a job that is no job, a config that can't be used. A job's
fate depends on nothing but what is handed in here and the clock.
"""

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from anyio import CapacityLimiter, to_thread
from pydantic_core import from_json, to_json

from worker.errors import ConfigUnavailable, Malformed, Reject, Retry
from worker.execution.bound_handler import BoundHandler, explain
from worker.execution.claimed_job import ClaimedJob, StopReason
from worker.jobs.clock import RedisClock
from worker.jobs.config_item import ConfigItem
from worker.jobs.failure import describe, failure, message_of
from worker.jobs.job import Job, continued, decode
from worker.jobs.keys import Keys
from worker.jobs.outcome import (
    Burial,
    Outcome,
    Reason,
    StoredResult,
    bury,
    bury_if_alone,
    expire,
    finish,
    later,
    requeue,
)
from worker.jobs.policy import Policy
from worker.jobs.result import Attempt, ErrorInfo, JobFacts, encode_result

log = logging.getLogger("worker")


@dataclass(frozen=True, slots=True)
class JobDefaults:
    """What holds for every job. Sizes in bytes."""

    policy: Policy
    max_job_bytes: int
    max_result_bytes: int
    max_crashes: int


class Executor:
    """Turns claimed jobs into outcomes, in the name of the worker `worker`."""

    def __init__(
        self,
        handlers: Mapping[str, BoundHandler],
        limits: JobDefaults,
        worker: str,
        clock: RedisClock,
        threads: int,
    ) -> None:
        self._handlers = handlers
        self._limits = limits
        self._worker = worker
        self._clock = clock
        self._threads = threads
        self._limiter: CapacityLimiter | None = None
        self.threads_left_behind: set[ClaimedJob] = set()

    # -- before the run ------------------------------------------------------------------------

    def admit(self, raw: bytes, keys: Keys) -> ClaimedJob | Outcome:
        """Decode a job and find its handler. The handler comes first: no config without one.

        A job past its time needs neither, so that it ends even while config can't be had.
        """
        try:
            job = decode(raw, keys, self._limits.max_job_bytes)
        except Malformed as error:
            return self._bury_malformed(raw, error)
        if self._is_expired(job):
            return expire(raw, job, self._attempt(job.attempts), self._limits.policy.result_ttl_ms)
        handler = self._handlers.get(job.handler)
        if handler is None:
            known = ", ".join(sorted(self._handlers)) or "none"
            message = f"this worker has no handler {job.handler!r}; it has: {known}"
            unknown = failure("UnknownHandler", message)
            return self._failed_attempt(raw, job, self._limits.policy, unknown, "unknown_handler")
        return ClaimedJob(raw, keys, job, handler)

    def configure(self, run: ClaimedJob, item: ConfigItem, *, stale: bool) -> Outcome | None:
        """Give the run its view of the config; an outcome where that can't be used."""
        run.stale = stale
        view = run.view = run.handler.view(item)
        if item.attributes is None and run.job.names_config:
            message = f"there is no config {run.job.config!r} in the table"
            return self._bury(run, "config_missing", failure("ConfigMissing", message))
        if view.problem is not None:
            message = f"config {run.job.config!r}: {view.problem}"
            return self._bury(run, "config_invalid", failure("ConfigInvalid", message))
        return None

    def postpone(self, run: ClaimedJob, error: ConfigUnavailable, delay: float) -> Outcome:
        """The config can't be had now: later, with no attempt spent."""
        log.debug("Job %r (%r) waits %.1f s: %s", run.job.id, run.job.handler, delay, error)
        return later(run.raw, run.raw, delay)

    def after_crash(self, raw: bytes, keys: Keys) -> Outcome:
        """What becomes of a job whose worker died holding it: one more crash, or its burial.

        The job that may have to be buried ran alone, if it ran: `last` leaves that to Redis.
        """
        try:
            job = decode(raw, keys, self._limits.max_job_bytes)
        except Malformed as problem:
            return self._bury_malformed(raw, problem)
        crashes = job.crashes + 1
        if crashes < self._limits.max_crashes:
            return requeue(raw, continued(raw, crashes=crashes))
        message = f"its worker died holding it, {crashes} times now; what it does kills the process"
        log.error("Job %r (%r): %s. It is buried if it ran alone.", job.id, job.handler, message)
        error = failure("Crashed", message)
        attempt = self._attempt(job.attempts)
        stored = self._stored(job, error, attempt, self._limits.policy)
        return bury_if_alone(raw, self._burial("crashed", error, attempt), stored)

    def is_suspect(self, job: Job) -> bool:
        """Whether one more crash would bury the job, so that it has to run alone."""
        return job.crashes + 1 >= self._limits.max_crashes

    def holds_suspect(self, raw: bytes, keys: Keys) -> bool:
        """The same of a job that is still bytes; False for what is no job."""
        try:
            return self.is_suspect(decode(raw, keys, self._limits.max_job_bytes))
        except Malformed:
            return False

    # -- the run -------------------------------------------------------------------------------

    async def execute(self, run: ClaimedJob) -> Outcome | None:
        """Run the handler and judge what came of it.

        Cancelling the task cancels the handler. With `run.verdict` set to TIMEOUT first, that is a
        failed attempt; any other cancellation goes through. None where the handler made another
        error of a cancellation that was no fault of its own: there is nothing to record.
        """
        arguments = self._arguments(run)
        if isinstance(arguments, Outcome):
            return arguments
        run.started_at = self._clock.now_ms()
        value: Any = None
        error: BaseException | None = None
        try:
            if run.handler.is_async:
                value = await run.handler.function(**arguments)
            else:
                value = await self._in_thread(run, arguments)
        except asyncio.CancelledError as cancelled:
            task = asyncio.current_task()
            if run.verdict is not StopReason.TIMEOUT and task is not None and task.cancelling():
                raise
            # Otherwise nobody cancelled this job: its handler let an inner cancellation escape.
            error = cancelled
        except (KeyboardInterrupt, GeneratorExit):
            raise
        except BaseException as raised:  # noqa: BLE001 - a handler's sys.exit() must not end us
            error = raised
        if run.verdict is StopReason.TIMEOUT:
            return self.timed_out(run)
        if error is None:
            return self._succeeded(run, value)
        return self.failed(run, error) if run.verdict is None else None

    def _arguments(self, run: ClaimedJob) -> dict[str, Any] | Outcome:
        """What to call the handler with, or the outcome where it is not to be called."""
        job, view, handler = run.job, run.view, run.handler
        assert view is not None  # noqa: S101 - configure() came before, or this is our own fault
        if self._is_expired(job):
            return expire(run.raw, job, self._attempt(job.attempts, run), view.policy.result_ttl_ms)
        payload = job.payload
        if handler.validate_payload is not None:
            try:
                payload = handler.validate_payload(payload)
            except Exception as error:  # noqa: BLE001 - a user's validator may raise anything
                return self._bury(run, "payload_invalid", failure("PayloadInvalid", explain(error)))
        return handler.arguments(payload, handler.config_of(view), job)

    def timed_out(self, run: ClaimedJob) -> Outcome:
        """The outcome of a run over its time limit: a failed attempt."""
        assert run.view is not None  # noqa: S101 - it was running
        message = f"the job ran longer than its time limit of {run.view.policy.timeout:g} s"
        return self._failed_attempt(
            run.raw, run.job, run.view.policy, failure("Timeout", message), "failed", run
        )

    async def _in_thread(self, run: ClaimedJob, arguments: dict[str, Any]) -> Any:
        """Run a plain function in a thread; abandon the thread when cancelled, and count it."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._threads)

        def call() -> Any:
            try:
                return run.handler.function(**arguments)
            finally:
                self.threads_left_behind.discard(run)

        try:
            return await to_thread.run_sync(call, abandon_on_cancel=True, limiter=self._limiter)
        except asyncio.CancelledError:
            self.threads_left_behind.add(run)
            log.warning(
                "Job %r (%r): its thread can't be stopped and goes on; what it returns is dropped. "
                "Threads left behind: %d. Give blocking calls time-outs of their own.",
                run.job.id,
                run.job.handler,
                len(self.threads_left_behind),
            )
            raise

    # -- after the run -------------------------------------------------------------------------

    def _succeeded(self, run: ClaimedJob, value: Any) -> Outcome:
        job, view = run.job, run.view
        assert view is not None  # noqa: S101 - it ran
        try:
            attempt = self._attempt(job.attempts + 1, run)
            result = encode_result(job, attempt, "succeeded", result=value)
            if b"NaN" in result or b"Infinity" in result:
                from_json(result, allow_inf_nan=False)
        except Exception as error:  # noqa: BLE001 - a value's own code may raise anything
            problem = f"the result has no JSON: {message_of(error)}"
            return self._bury(run, "result_invalid", failure("ResultInvalid", problem), ran=1)
        if len(result) > self._limits.max_result_bytes:
            size = len(to_json(value))
            if size > self._limits.max_result_bytes:
                problem = (
                    f"the result has {size:,} bytes, more than WORKER_MAX_RESULT_BYTES "
                    f"({self._limits.max_result_bytes:,}); store it elsewhere and return where"
                )
                return self._bury(
                    run, "result_too_large", failure("ResultTooLarge", problem), ran=1
                )
        return finish(run.raw, job, result, view.policy.result_ttl_ms)

    def failed(self, run: ClaimedJob, error: BaseException) -> Outcome:
        """The outcome of a run that raised: another attempt, or its burial."""
        assert run.view is not None  # noqa: S101 - it ran
        info = describe(error)
        if isinstance(error, Reject):
            return self._bury(run, "rejected", info, ran=1)
        delay = error.delay if isinstance(error, Retry) else None
        return self._failed_attempt(
            run.raw, run.job, run.view.policy, info, "failed", run, delay=delay
        )

    def _failed_attempt(
        self,
        raw: bytes,
        job: Job,
        policy: Policy,
        error: ErrorInfo,
        reason: Reason,
        run: ClaimedJob | None = None,
        *,
        delay: float | None = None,
    ) -> Outcome:
        attempts = job.attempts + 1
        if attempts < policy.max_attempts:
            delay = policy.backoff.delay(attempts) if delay is None else delay
            log.warning(
                "Job %r (%r) failed attempt %d of %d (%s); it runs again in %.1f s.",
                job.id,
                job.handler,
                attempts,
                policy.max_attempts,
                error.type,
                delay,
            )
            return later(raw, continued(raw, attempts=attempts), delay)
        self._tell_buried(job, reason, error)
        attempt = self._attempt(attempts, run)
        stored = self._stored(job, error, attempt, policy)
        return bury(raw, self._burial(reason, error, attempt), stored)

    def _is_expired(self, job: Job) -> bool:
        return job.expires_at is not None and self._clock.now_ms() >= job.expires_at

    def _bury(self, run: ClaimedJob, reason: Reason, error: ErrorInfo, *, ran: int = 0) -> Outcome:
        policy = run.view.policy if run.view else self._limits.policy
        self._tell_buried(run.job, reason, error)
        attempt = self._attempt(run.job.attempts + ran, run)
        stored = self._stored(run.job, error, attempt, policy)
        return bury(run.raw, self._burial(reason, error, attempt), stored)

    def _attempt(self, attempts: int, run: ClaimedJob | None = None) -> Attempt:
        now = self._clock.now_ms()
        if run is None:
            return Attempt(self._worker, attempts, now)
        return Attempt(self._worker, attempts, now, run.started_at, _config(run))

    def _burial(self, reason: Reason, error: ErrorInfo, attempt: Attempt) -> Burial:
        return Burial(reason, error, attempt.attempts, self._worker, attempt.finished_at)

    def _stored(self, job: Job, error: ErrorInfo, attempt: Attempt, policy: Policy) -> StoredResult:
        json = encode_result(job, attempt, "failed", error=error)
        return StoredResult(job.id, json, policy.result_ttl_ms, job.reply_to)

    def _tell_buried(self, job: Job, reason: Reason, error: ErrorInfo) -> None:
        log.error(
            "Job %r (%r) is buried: %s (%s). Its bytes are in the dead list; "
            "'worker dead retry' runs it again.",
            job.id,
            job.handler,
            reason,
            error.type,
        )

    def _bury_malformed(self, raw: bytes, error: Malformed) -> Outcome:
        log.error(
            "%s is buried: malformed (%s). Its bytes are in the dead list.",
            f"Job {error.job_id!r}" if error.job_id else "A job without a readable id",
            error,
        )
        info = failure("Malformed", str(error))
        attempt, stored = self._attempt(error.attempts), None
        if error.job_id is not None:
            facts = JobFacts(error.job_id, error.handler, error.enqueued_at)
            json = encode_result(facts, attempt, "failed", error=info)
            ttl_ms = self._limits.policy.result_ttl_ms
            stored = StoredResult(error.job_id, json, ttl_ms, error.reply_to)
        return bury(raw, self._burial("malformed", info, attempt), stored)


def _config(run: ClaimedJob) -> dict[str, Any] | None:
    if run.view is None:
        return None
    return run.view.stale_info if run.stale else run.view.info
