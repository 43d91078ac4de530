"""The real pipeline without servers: config items from a dict, jobs as bytes."""

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Mapping
from decimal import Decimal
from typing import Any

from worker.app import App
from worker.errors import ConfigUnavailable
from worker.execution.bad_configs import BadConfigs
from worker.execution.bound_handler import BoundHandler
from worker.execution.claimed_job import ClaimedJob
from worker.execution.config_pace import ConfigPace
from worker.execution.config_step import Configs, ConfigStep
from worker.execution.defaults import JobDefaults
from worker.execution.error_reports import ErrorReports
from worker.execution.handler_step import HandlerStep
from worker.execution.hooks import Hooks
from worker.execution.job_tasks import JobTasks
from worker.execution.middleware import around
from worker.execution.outcomes import Outcomes
from worker.execution.pipeline import Pipeline
from worker.execution.threads import HandlerThreads
from worker.execution.time_limits import TimeLimits
from worker.jobs.clock import RedisClock
from worker.jobs.config_item import ConfigItem
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome
from worker.jobs.policy import Policy

KEYS = Keys("jobs")


class Items:
    """Config items of a dict: those of `remembered` at once, the others after a read."""

    def __init__(self, items: Mapping[str, Mapping[str, Any]]) -> None:
        self.items = {key: dict(item, key=key) for key, item in items.items()}
        self.is_away = False
        self.reads: list[str] = []
        self.failures = 0

    def remembered(self, key: str, *, confirm_absence: bool = False) -> ConfigItem | None:
        return None if confirm_absence and key not in self.items else self._item(key)

    async def load(self, key: str, *, confirm_absence: bool = False) -> ConfigItem:  # noqa: ARG002
        self.reads.append(key)
        await asyncio.sleep(0)
        if self.is_away:
            raise ConfigUnavailable("away")
        return self._item(key)

    async def load_again(self, key: str) -> ConfigItem:
        return await self.load(key)

    def is_stale(self, _: ConfigItem) -> bool:
        return False

    def _item(self, key: str) -> ConfigItem:
        attributes = self.items.get(key)
        return ConfigItem(
            key, attributes, time.monotonic(), key_attribute="key", absence_confirmed=True
        )


async def _never_alone(_: ClaimedJob) -> Outcome | None:
    return None


class Harness:
    """Runs jobs of one app. Make it within a running event loop.

    Configs come from `configs` where it is given, else from `items`. Jobs of bad configs are buried
    at once unless `bad_configs` says otherwise.
    """

    def __init__(
        self,
        app: App,
        items: Mapping[str, Mapping[str, Any]] | None = None,
        *,
        policy: Policy | None = None,
        state: Any = None,
        configs: Configs | None = None,
        bad_configs: BadConfigs | None = None,
        wait_alone: Callable[[ClaimedJob], Awaitable[Outcome | None]] = _never_alone,
    ) -> None:
        defaults = JobDefaults(policy or Policy(), 10**6, 10**6, 3)
        handlers = {
            name: BoundHandler(handler, defaults.policy) for name, handler in app.handlers.items()
        }
        self.items = Items(items or {})
        self.hooks = Hooks(around_run=[around(callback, state) for callback in app.middlewares])
        self.reports = ErrorReports(app.error_callbacks, state)
        if app.error_callbacks:
            self.hooks.failed.append(self.reports.failed)
        for handler in handlers.values():
            handler.give_state(state)
        self.bad_configs = bad_configs or BadConfigs(keep=False, ttl=0, max_stale=0)
        self.clock = RedisClock()
        self.outcomes = Outcomes(defaults, "harness", self.clock, self.hooks.failed)
        self.threads = HandlerThreads(10)
        self.limits = TimeLimits()
        self.pipeline = Pipeline(
            handlers,
            self.outcomes,
            ConfigStep(configs or self.items, ConfigPace(10), self.outcomes, self.bad_configs),
            HandlerStep(self.outcomes, self.limits, self.threads, self.hooks),
            self.hooks,
            wait_alone,
        )
        self.tasks = JobTasks(self.pipeline, self.limits)

    def start(self, handler: str, payload: Any = None, **fields: Any) -> ClaimedJob:
        """Start a job; its `settle` notes the outcome."""
        job = {"id": "1", "handler": handler, "payload": payload, **fields}
        return self.start_raw(json.dumps(job).encode())

    def start_raw(self, raw: bytes) -> ClaimedJob:
        """Start these bytes."""
        claimed = ClaimedJob(raw, KEYS)
        self.tasks.start([claimed])
        return claimed

    async def run(self, handler: str, payload: Any = None, **fields: Any) -> Outcome | None:
        """Run a job to its end."""
        claimed = self.start(handler, payload, **fields)
        return await self.ended(claimed)

    async def ended(self, claimed: ClaimedJob) -> Outcome | None:
        """Wait for a job's task and return its outcome."""
        assert claimed.task is not None
        await asyncio.wait([claimed.task], timeout=10)
        return claimed.outcome


def result_of(outcome: Outcome | None) -> dict[str, Any]:
    """The result that an outcome records."""
    assert outcome is not None
    result: dict[str, Any] = json.loads(outcome.result)
    return result


def number(value: int) -> Decimal:
    """A number as DynamoDB gives it."""
    return Decimal(value)
