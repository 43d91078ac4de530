"""The config step of the pipeline: find a job's item, and what its handler makes of it."""

from typing import Protocol

from worker.errors import ConfigUnavailable
from worker.execution.bad_configs import BadConfigs
from worker.execution.claimed_job import ClaimedJob
from worker.execution.config_pace import ConfigPace
from worker.execution.outcomes import Outcomes
from worker.jobs.backoff import Backoff
from worker.jobs.config_item import ConfigItem
from worker.jobs.outcome import Outcome

# How long jobs wait whose config can't be read; seconds.
_RETRY = Backoff(base=1.0, factor=2.0, max=30.0)


class Configs(Protocol):
    """Where items come from; `worker.config.store.ConfigStore` is one."""

    @property
    def failures(self) -> int:
        """How many reads in a row have failed; 0 unless DynamoDB is away."""

    def remembered(self, key: str, *, confirm_absence: bool = False) -> ConfigItem | None:
        """The item if it may be used without a read."""

    async def load(self, key: str, *, confirm_absence: bool = False) -> ConfigItem:
        """Read the item. Raises ConfigUnavailable."""

    async def load_again(self, key: str) -> ConfigItem:
        """Read the item now, and consistently. Raises ConfigUnavailable."""

    def is_stale(self, item: ConfigItem) -> bool:
        """Whether the item is older than it should be, because DynamoDB can't be read."""


class ConfigStep:
    """One for a process."""

    def __init__(
        self, configs: Configs, pace: ConfigPace, outcomes: Outcomes, bad: BadConfigs
    ) -> None:
        self._configs = configs
        self._bad = bad
        self._pace = pace
        self._outcomes = outcomes

    def needs_read(self, claimed: ClaimedJob) -> bool:
        """Take the remembered item; return True where it has to be read first."""
        job = claimed.job
        item = self._configs.remembered(job.config, confirm_absence=job.names_config)
        if item is None:
            return True
        claimed.item = item
        self._pace.ready_in_a_row += 1
        return False

    async def read(self, claimed: ClaimedJob) -> Outcome | None:
        """Read the item, together with those that other jobs ask for at the same time.

        Where it can't be read the job runs later, with no attempt spent.
        """
        job = claimed.job
        self._pace.waits()
        try:
            claimed.item = await self._configs.load(job.config, confirm_absence=job.names_config)
        except ConfigUnavailable as error:
            self._pace.failed()
            delay = _RETRY.equal_jitter(max(1, self._configs.failures))
            return self._outcomes.config_unavailable(claimed, error, delay)
        finally:
            self._pace.waited()
        return None

    def suits(self, claimed: ClaimedJob) -> bool:
        """Take what the handler makes of the item: its config and policy.

        Return False where it can't be used, or does not exist and must.
        """
        item = claimed.item
        assert item is not None  # noqa: S101 - remembered or read
        if self._pace.failed_in_a_row:
            self._pace.recovered()
        claimed.stale = self._configs.is_stale(item)
        view = claimed.view = claimed.handler.view(item)
        claimed.job.config_info = view.info
        if view.problem is not None or (item.attributes is None and claimed.job.names_config):
            return False
        if self._bad.is_any:
            self._bad.works(item, claimed.handler.name)
        return True

    async def do_without(self, claimed: ClaimedJob) -> Outcome | None:
        """The item does not suit: go on with what worked before, wait, or be buried."""
        item, view = claimed.item, claimed.view
        assert item is not None  # noqa: S101 - it was looked at
        assert view is not None  # noqa: S101 - likewise
        if item.attributes is None and claimed.job.names_config:
            delay = self._bad.missing(item.key)
            missing = ConfigUnavailable("there is no such item yet")
            if delay:
                return self._outcomes.config_unavailable(claimed, missing, delay)
            return self._outcomes.config_missing(claimed)
        problem = view.problem
        assert problem is not None  # noqa: S101 - or it would suit
        if not self._bad.keep:
            return self._outcomes.config_invalid(claimed, problem)
        worked = item.worked.get(claimed.handler.name)
        if worked is not None:
            self._bad.serves_on(item, claimed.handler.name, problem)
            claimed.view, claimed.stale = worked.view, True
            claimed.job.config_info = worked.view.info
            return None
        return await self._wait_for_correction(claimed, item, problem)

    async def _wait_for_correction(
        self, claimed: ClaimedJob, item: ConfigItem, problem: str
    ) -> Outcome | None:
        """No version that works is known: wait, and be buried in the end."""
        delay = self._bad.invalid(item, claimed.handler.name, problem)
        error = ConfigUnavailable(f"it can't be used: {problem}")
        if not delay and claimed.stale:
            # It may have been corrected since it was read.
            delay = _RETRY.equal_jitter(max(1, self._configs.failures))
        if delay:
            return self._outcomes.config_unavailable(claimed, error, delay)
        # Nobody's correction of a moment ago is overlooked.
        try:
            claimed.item = await self._configs.load_again(item.key)
        except ConfigUnavailable as unread:
            delay = _RETRY.equal_jitter(max(1, self._configs.failures))
            return self._outcomes.config_unavailable(claimed, unread, delay)
        if self.suits(claimed):
            return None
        problem = claimed.view.problem or problem if claimed.view else problem
        return self._outcomes.config_invalid(claimed, problem)
