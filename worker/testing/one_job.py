"""`run`: one job through the real pipeline, with no server."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Literal

import anyio
from pydantic_core import from_json, to_json

from worker.app import App, handler_name
from worker.errors import JobFailed, Retry
from worker.execution.bad_configs import BadConfigs
from worker.execution.batches import Batches
from worker.execution.bound_handler import BoundHandler
from worker.execution.claimed_job import ClaimedJob, StopReason
from worker.execution.config_pace import ConfigPace
from worker.execution.config_step import ConfigStep
from worker.execution.defaults import JobDefaults
from worker.execution.error_reports import ErrorReports
from worker.execution.handler_step import HandlerStep, forks_contained
from worker.execution.hooks import Fate, Hooks
from worker.execution.job_tasks import CLEANUP_SECONDS, JobTasks
from worker.execution.middleware import around
from worker.execution.outcomes import Outcomes
from worker.execution.pipeline import Pipeline
from worker.execution.threads import HandlerThreads
from worker.execution.time_limits import TimeLimits
from worker.jobs.clock import RedisClock
from worker.jobs.config_item import ConfigItem
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome, Reason
from worker.jobs.policy import Policy
from worker.jobs.result import ErrorInfo
from worker.settings import Settings
from worker.testing.failures import Failures, info_of

_QUEUE = Keys("jobs")
_WORKER_ID = "testing"
_KEY = "key"  # the config table's partition key
_BURY_AT_ONCE = BadConfigs(keep=False, ttl=0, max_stale=0)  # a test is to see what is wrong


@dataclass(frozen=True, slots=True)
class Ran:
    """What became of a job.

    `result` is what its result says: JSON, decoded. `error` says what went wrong, also where the
    job is tried again. `reason` is why it was buried, where `status` is "failed". `retry_in` is in
    seconds, where `status` is "retry".
    """

    status: Literal["succeeded", "retry", "failed", "expired"]
    result: Any = None
    error: ErrorInfo | None = None
    reason: Reason | None = None
    retry_in: float | None = None


async def run(  # noqa: PLR0913 - a job's fields, by keyword
    app: App,
    handler: str | Callable[..., Any],
    payload: Any = None,
    *,
    config: Mapping[str, Any] | None = None,
    attempt: int = 1,
    state: Any = None,
    raises: bool = False,
    id: str = "1",
    expires_at: int | None = None,
) -> Ran:
    """Run one job as a worker would, on asyncio, and return what became of it.

    `handler` is the handler's function, or its name; for one that takes batches, the payload is
    that of one job, and its batch begins at once. `config` is the job's whole config item, its
    `policy` included; None: there is no item. `state` is what the app's lifespan would yield; the
    lifespan is not entered. Middleware and `on_error` are called. Settings are at their defaults.
    `expires_at` is in ms since the epoch.

    With `raises`, raise the error of a job that does not succeed in place of returning it: what the
    handler raised, or a `JobFailed` or `Malformed` where it raised nothing. Raise ValueError for an
    `attempt` below 1, HandlerError for handlers that can't be used.
    """
    if attempt < 1:
        raise ValueError(f"attempt must be 1 or more, not {attempt}")
    job = {
        "id": id,
        "handler": handler if isinstance(handler, str) else handler_name(handler, app),
        "payload": payload,
        "attempts": attempt - 1,
        "expires_at": expires_at,
    }
    claimed = ClaimedJob(to_json(job, inf_nan_mode="constants"), _QUEUE)
    one_job = _OneJob(app, config, state)
    with forks_contained():
        outcome = await one_job.run(claimed)
    if raises:
        one_job.raise_failure(claimed, outcome)
    error = info_of(outcome, one_job.raised)
    if outcome.op == "later":
        return Ran("retry", error=error, retry_in=outcome.ms / 1000)
    assert outcome.status is not None  # noqa: S101 - its fate is final
    result = from_json(outcome.result)["result"] if outcome.result else None
    return Ran(outcome.status, result, error, outcome.reason)


class _OneJob:
    """A pipeline for one job. `raised` is its error, once it has failed or asked for a retry."""

    def __init__(self, app: App, config: Mapping[str, Any] | None, state: Any) -> None:
        defaults = JobDefaults(
            Policy(),
            _default("max_job_bytes"),
            _default("max_result_bytes"),
            _default("max_crashes"),
        )
        self._failures = Failures()
        self._reports = ErrorReports(app.error_callbacks, state)
        hooks = Hooks(
            around_run=[self._note_retry, *(around(each, state) for each in app.middlewares)],
            failed=[self._note_error, self._failures.failed, self._reports.failed],
        )
        outcomes = Outcomes(defaults, _WORKER_ID, RedisClock(), hooks.failed)
        limits = TimeLimits()
        pipeline = Pipeline(
            _bound(app, defaults.policy, state),
            outcomes,
            ConfigStep(_OneItem(config), ConfigPace(1), outcomes, _BURY_AT_ONCE),
            HandlerStep(outcomes, limits, HandlerThreads(1), hooks),
            hooks,
            _not_alone,
        )
        self._tasks = JobTasks(pipeline, limits)
        self.raised: BaseException | None = None

    async def run(self, claimed: ClaimedJob) -> Outcome:
        """Run the job to its end, and `on_error` to its own. A cancellation stops it."""
        ended = asyncio.Event()
        claimed.settle = lambda *_: ended.set()
        self._tasks.start([claimed])
        try:
            await ended.wait()
        finally:
            if claimed.is_open:
                await self._stop(claimed)
        await self._reports.ended()
        assert claimed.outcome is not None  # noqa: S101 - it ended, and nobody else stopped it
        return claimed.outcome

    def raise_failure(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        """Raise the job's error, unless it has succeeded."""
        failure = self._failures.pop(claimed, outcome)
        if failure is not None:
            raise failure
        if outcome.op == "later":
            assert self.raised is not None  # noqa: S101 - a Retry, which is no failure
            raise self.raised
        if outcome.status != "succeeded":
            raise JobFailed(f"{claimed} has expired: it was not started by its expires_at")

    async def _stop(self, claimed: ClaimedJob) -> None:
        self._tasks.stop(claimed, StopReason.RETURNED)
        if claimed.task is not None:
            with anyio.CancelScope(shield=True):
                await asyncio.wait([claimed.task], timeout=CLEANUP_SECONDS)

    def _note_error(self, _: ClaimedJob, error: BaseException, __: Fate) -> None:
        self.raised = error

    async def _note_retry(self, _: ClaimedJob, call_next: Callable[[], Awaitable[Any]]) -> Any:
        try:
            return await call_next()
        except Retry as retry:
            self.raised = retry
            raise


def _bound(app: App, policy: Policy, state: Any) -> dict[str, BoundHandler]:
    bound = {name: BoundHandler(handler, policy) for name, handler in app.handlers.items()}
    for handler in bound.values():
        handler.give_state(state)
        if handler.takes_batches:
            handler.turns = Batches(1, 0, None)  # no other job will come
    return bound


def _default(setting: str) -> Any:
    return Settings.model_fields[setting].default


async def _not_alone(_: ClaimedJob) -> Outcome | None:
    return None


class _OneItem:
    """The config item of every key. None: there is no item."""

    failures = 0

    def __init__(self, config: Mapping[str, Any] | None) -> None:
        self._attributes = None if config is None else _as_read(dict(config))

    def remembered(self, key: str, *, confirm_absence: bool = False) -> ConfigItem:  # noqa: ARG002
        attributes = self._attributes
        if attributes is not None:
            attributes = {**attributes, _KEY: key}
        now = time.monotonic()
        return ConfigItem(key, attributes, now, key_attribute=_KEY, absence_confirmed=True)

    async def load(self, key: str, *, confirm_absence: bool = False) -> ConfigItem:
        return self.remembered(key, confirm_absence=confirm_absence)

    async def load_again(self, key: str) -> ConfigItem:
        return self.remembered(key)

    def is_stale(self, _: ConfigItem) -> bool:
        return False


def _as_read(value: Any) -> Any:
    """Return a value as DynamoDB returns it: numbers as `Decimal`, tuples as lists."""
    if isinstance(value, float):
        return Decimal(repr(value))
    if isinstance(value, int) and not isinstance(value, bool):
        return Decimal(value)
    if isinstance(value, Mapping):
        return {name: _as_read(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [_as_read(inner) for inner in value]
    if isinstance(value, set | frozenset):
        return {_as_read(inner) for inner in value}
    return value
