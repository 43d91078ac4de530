"""Makes the outcomes: what becomes of a job, as result and dead-list entry. Touches no store."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

from pydantic_core import from_json, to_json

from worker.errors import (
    ConfigInvalid,
    ConfigMissing,
    Crashed,
    Malformed,
    PayloadInvalid,
    Reject,
    ResultInvalid,
    ResultTooLarge,
    Retry,
    Timeout,
    UnknownHandler,
)
from worker.execution.claimed_job import ClaimedJob
from worker.execution.defaults import JobDefaults
from worker.execution.hooks import Failed, Fate
from worker.jobs.clock import RedisClock
from worker.jobs.failure import describe, failure, last_error, message_of
from worker.jobs.job import Job, continued, decode, looks_like_seconds, retried
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
from worker.jobs.result import Attempt, ErrorInfo, JobFacts, encode_result, encode_success
from worker.runtime.user_code import place_of, raised

log: logging.Logger = logging.getLogger("worker")


class Outcomes:
    """Makes every outcome in the name of the worker `worker_id`. `now_ms` is Redis's time.

    `failed` are the hooks of that name.
    """

    def __init__(
        self,
        defaults: JobDefaults,
        worker_id: str,
        clock: RedisClock,
        failed: Sequence[Failed] = (),
    ) -> None:
        self.defaults = defaults
        self._worker_id = worker_id
        self._worker_json = to_json(worker_id)
        self.now_ms: Callable[[], int] = clock.now_ms
        self._failed_hooks = failed
        self._warned_of_seconds = False

    # -- the job never ran ---------------------------------------------------------------------

    def malformed(self, claimed: ClaimedJob, error: Malformed) -> Outcome:
        """What arrived is no job: bury its bytes, and report to its producer as far as known."""
        log.error(
            "%s is buried: malformed (%s). Its bytes are in the dead list.",
            f"Job {error.job_id!r}" if error.job_id else "A job without a readable id",
            error,
            extra={
                **claimed.about("job_buried", "malformed"),
                "job": error.job_id,
                "handler": error.handler,
            },
        )
        info = failure("Malformed", str(error))
        result = None
        if error.job_id is not None:
            facts = JobFacts(error.job_id, error.handler, error.enqueued_at)
            attempt = Attempt(self._worker_id, error.attempts, self.now_ms())
            json = encode_result(facts, attempt, "failed", error=info)
            ttl_ms = self.defaults.policy.result_ttl_ms
            result = StoredResult(error.job_id, json, ttl_ms, error.reply_to)
        return bury(claimed.raw, self._burial("malformed", info, error.attempts), result)

    def is_expired(self, job: Job) -> bool:
        """Whether the job was to start by a time that has passed."""
        return job.expires_at is not None and self.now_ms() >= job.expires_at

    def expired(self, claimed: ClaimedJob) -> Outcome:
        """The job was not started in time: it ends without running."""
        if looks_like_seconds(claimed.job.expires_at) and not self._warned_of_seconds:
            self._warned_of_seconds = True
            log.warning(
                "%s expired at once: its expires_at looks like seconds, and must be in ms since "
                "the epoch. Fix its producer. Later jobs like it say so in their results only.",
                claimed,
                extra=claimed.about("job_expired"),
            )
        attempt = self._attempt(claimed, claimed.job.attempts)
        return expire(claimed.raw, claimed.job, attempt, self._policy_of(claimed).result_ttl_ms)

    def unknown_handler(self, claimed: ClaimedJob, known: str) -> Outcome:
        """No such handler here. A newer deploy may have it, so it counts as a failed attempt."""
        message = f"this worker has no handler {claimed.job.handler!r}; it has: {known or 'none'}"
        return self._failed_attempt(claimed, UnknownHandler(message), "unknown_handler")

    def config_missing(self, claimed: ClaimedJob) -> Outcome:
        """The job names a config that does not exist."""
        message = f"there is no config {claimed.job.config!r} in the table"
        return self._bury(claimed, "config_missing", ConfigMissing(message))

    def config_invalid(self, claimed: ClaimedJob, problem: str) -> Outcome:
        """The job's config can't be used; `problem` names the attribute."""
        message = f"config {claimed.job.config!r}: {problem}"
        return self._bury(claimed, "config_invalid", ConfigInvalid(message))

    def config_unavailable(self, claimed: ClaimedJob, error: Exception, delay: float) -> Outcome:
        """The config can't be read now: the job runs `delay` seconds later, no attempt spent."""
        log.debug("%s waits %.1f s for its config: %s", claimed, delay, error)
        return later(claimed.raw, claimed.raw, delay)

    def payload_invalid(self, claimed: ClaimedJob, problem: str) -> Outcome:
        """The payload fails the handler's type."""
        return self._bury(claimed, "payload_invalid", PayloadInvalid(problem))

    # -- the job ran ---------------------------------------------------------------------------

    def succeeded(self, claimed: ClaimedJob, value: Any) -> Outcome:
        """The handler returned `value`."""
        try:
            json = to_json(value)
            if b"NaN" in json or b"Infinity" in json:
                from_json(json, allow_inf_nan=False)
        except Exception as error:  # noqa: BLE001 - a value's own code may raise anything
            problem = f"the result has no JSON: {message_of(error)}"
            return self._bury_after_run(claimed, "result_invalid", ResultInvalid(problem))
        limit = self.defaults.max_result_bytes
        if len(json) > limit:
            problem = (
                f"the result has {len(json):,} bytes, more than WORKER_MAX_RESULT_BYTES "
                f"({limit:,}); store it elsewhere and return where"
            )
            return self._bury_after_run(claimed, "result_too_large", ResultTooLarge(problem))
        view = claimed.view
        assert view is not None  # noqa: S101 - it ran
        config = view.stale_info_json if claimed.stale else view.info_json
        ended_at = claimed.ended_at = self.now_ms()
        result = encode_success(
            claimed.job, json, config, self._worker_json, claimed.started_at, ended_at
        )
        return finish(claimed.raw, claimed.job, result, view.policy.result_ttl_ms)

    def failed(self, claimed: ClaimedJob, error: BaseException) -> Outcome:
        """The handler raised: another attempt, or the dead list."""
        if isinstance(error, Reject):
            return self._bury_after_run(claimed, "rejected", error)
        if isinstance(error, ResultInvalid):
            # Found by the worker: no frame of it is the handler's.
            error = error.with_traceback(None)
            return self._bury_after_run(claimed, "result_invalid", error)
        return self._failed_attempt(claimed, error, "failed")

    def timed_out(self, claimed: ClaimedJob, cause: BaseException | None = None) -> Outcome:
        """The handler ran over its time limit: a failed attempt. `cause` is how it then ended."""
        seconds = self._policy_of(claimed).timeout
        error = Timeout(f"the job ran longer than its time limit of {seconds:g} s")
        error.__cause__ = cause
        return self._failed_attempt(claimed, error, "failed")

    def faulty(self, claimed: ClaimedJob, error: Exception) -> Outcome:
        """The worker itself failed on the job: an attempt, or the dead list if it can't be read."""
        if hasattr(claimed, "job"):
            return self._failed_attempt(claimed, error, "failed")
        problem = f"the worker failed to read it ({type(error).__name__})"
        return self.malformed(claimed, Malformed(problem))

    # -- the worker died -----------------------------------------------------------------------

    def after_crash(self, raw: bytes, keys: Keys) -> Outcome:
        """What becomes of a job whose worker died holding it: one more crash, or its burial.

        A job that has to be buried ran alone, if it ran: op `last` lets Redis check that.
        """
        claimed = ClaimedJob(raw, keys)
        try:
            job = claimed.job = decode(raw, keys, self.defaults.max_job_bytes)
        except Malformed as problem:
            return self.malformed(claimed, problem)
        crashes = job.crashes + 1
        if crashes < self.defaults.max_crashes:
            return requeue(raw, continued(raw, crashes=crashes))
        error = _crashed(crashes)
        log.error(
            "%s: %s. It is buried if it ran alone.",
            claimed,
            error,
            extra=claimed.about("job_crashed"),
        )
        info = _info(error)
        burial = self._burial("crashed", info, job.attempts)
        return bury_if_alone(raw, burial, self._failure_result(claimed, info, job.attempts))

    def buried_after_crash(self, raw: bytes, keys: Keys) -> None:
        """Redis has buried a job as `crashed`: call the hooks."""
        claimed = ClaimedJob(raw, keys)
        claimed.job = decode(raw, keys, self.defaults.max_job_bytes)
        self._report(claimed, _crashed(claimed.job.crashes + 1), "buried")

    def holds_suspect(self, raw: bytes, keys: Keys) -> bool:
        """Whether these bytes are a job that one more crash would bury; False for no job."""
        try:
            return self.defaults.is_suspect(decode(raw, keys, self.defaults.max_job_bytes))
        except Malformed:
            return False

    # -- shared --------------------------------------------------------------------------------

    def _failed_attempt(self, claimed: ClaimedJob, error: BaseException, reason: Reason) -> Outcome:
        job, policy = claimed.job, self._policy_of(claimed)
        attempts = job.attempts + 1
        if attempts >= policy.max_attempts:
            return self._bury_after_run(claimed, reason, error)
        if isinstance(error, Retry):
            delay = policy.backoff.delay(attempts) if error.delay is None else error.delay
        else:
            delay = policy.backoff.delay(attempts)
            self._report(claimed, error, "retried")
        info, kind = _info(error), _kind(claimed, error)
        log.warning(
            "%s failed attempt %d of %d (%s); it runs again in %.1f s.%s",
            claimed,
            attempts,
            policy.max_attempts,
            _said(kind, error),
            delay,
            self._in_full(info),
            extra=claimed.about("job_retried", kind),
        )
        failed = last_error(info, self._ended(claimed))
        next_raw = retried(claimed.raw, attempts, failed, self.defaults.max_job_bytes)
        return later(claimed.raw, next_raw, delay)

    def _bury_after_run(self, claimed: ClaimedJob, reason: Reason, error: BaseException) -> Outcome:
        """Bury a job whose attempt counts."""
        self._ended(claimed)
        return self._buried(claimed, reason, error, claimed.job.attempts + 1)

    def _bury(self, claimed: ClaimedJob, reason: Reason, error: BaseException) -> Outcome:
        """Bury a job that did not run: its attempts stay as they were."""
        return self._buried(claimed, reason, error, claimed.job.attempts)

    def _ended(self, claimed: ClaimedJob) -> int:
        """Return the time, which is that of the run's end where there was a run."""
        now = self.now_ms()
        if claimed.started_at is not None:
            claimed.ended_at = now
        return now

    def _buried(
        self, claimed: ClaimedJob, reason: Reason, error: BaseException, attempts: int
    ) -> Outcome:
        info, kind = _info(error), _kind(claimed, error)
        log.error(
            "%s is buried: %s (%s). Its bytes are in the dead list; 'worker dead retry' runs it "
            "again.%s",
            claimed,
            reason,
            _said(kind, error),
            self._in_full(info),
            extra=claimed.about("job_buried", f"{reason} {kind}"),
        )
        self._report(claimed, error, "buried")
        result = self._failure_result(claimed, info, attempts)
        return bury(claimed.raw, self._burial(reason, info, attempts), result)

    def _report(self, claimed: ClaimedJob, error: BaseException, fate: Fate) -> None:
        for hook in self._failed_hooks:
            hook(claimed, error, fate)

    def _burial(self, reason: Reason, error: ErrorInfo, attempts: int) -> Burial:
        return Burial(reason, error, attempts, self._worker_id, self.now_ms())

    def _failure_result(self, claimed: ClaimedJob, error: ErrorInfo, attempts: int) -> StoredResult:
        job = claimed.job
        json = encode_result(job, self._attempt(claimed, attempts), "failed", error=error)
        return StoredResult(job.id, json, self._policy_of(claimed).result_ttl_ms, job.reply_to)

    def _attempt(self, claimed: ClaimedJob, attempts: int) -> Attempt:
        config = None
        if claimed.view is not None:
            config = claimed.view.stale_info if claimed.stale else claimed.view.info
        return Attempt(self._worker_id, attempts, self.now_ms(), claimed.started_at, config)

    def _policy_of(self, claimed: ClaimedJob) -> Policy:
        return claimed.view.policy if claimed.view else self.defaults.policy

    def _in_full(self, error: ErrorInfo) -> str:
        """Return the lines that WORKER_LOG_ERRORS=full adds, which may quote values."""
        if not self.defaults.log_errors_in_full:
            return ""
        return f"\n{(error.traceback or f'{error.type}: {error.message}').rstrip()}"


def _info(error: BaseException) -> ErrorInfo:
    """Return what results say of an error. One that was never raised has no traceback."""
    if error.__traceback__ is None:
        return failure(type(error).__name__, message_of(error))
    return describe(error)


def _crashed(crashes: int) -> Crashed:
    return Crashed(
        f"its worker died holding it, {crashes} times now; what it does kills the process"
    )


def _kind(claimed: ClaimedJob, error: BaseException) -> str:
    """Return the class of an error and where in the user's code it was raised."""
    if isinstance(error, Timeout):
        place = error.__cause__ and place_of(error.__cause__, _package(claimed))
        return f"Timeout at {place}" if place else "Timeout"
    return raised(error, _package(claimed))


# What the worker finds wrong itself, in words that quote no value.
_WITHOUT_VALUES = (UnknownHandler, ConfigMissing, ResultTooLarge, Timeout)


def _said(kind: str, error: BaseException) -> str:
    """Return what the log says of an error of this kind: its message only where it is ours."""
    is_ours = error.__traceback__ is None and isinstance(error, _WITHOUT_VALUES)
    return f"{kind}: {error}" if is_ours else kind


def _package(claimed: ClaimedJob) -> str:
    """Return the top-level package that has the job's handler; "" where it has none."""
    handler = getattr(claimed, "handler", None)
    module: str | None = handler and getattr(handler.function, "__module__", None)
    return (module or "").partition(".")[0]
