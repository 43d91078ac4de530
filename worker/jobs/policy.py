"""How a job runs: the settings, overridden by its handler's decorator, overridden by its config."""

from dataclasses import dataclass, field, replace
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from worker.jobs.backoff import Backoff

Seconds = Annotated[float, Field(ge=0, allow_inf_nan=False)]
SomeSeconds = Annotated[float, Field(gt=0, allow_inf_nan=False)]
# What Redis can hold as a time to live, with much to spare: a century.
LONGEST_MS = 100 * 366 * 86_400_000
_STRICT = ConfigDict(extra="forbid", frozen=True)


def milliseconds(seconds: float, *, least: int = 0) -> int:
    """Whole milliseconds that Redis takes: at least so many, at most a century."""
    return max(least, round(min(seconds * 1000, LONGEST_MS)))


@dataclass(frozen=True, slots=True)
class Policy:
    """How one job runs. `timeout` and `result_ttl` are in seconds."""

    timeout: float = 300.0
    max_attempts: int = 5
    backoff: Backoff = field(default_factory=Backoff)
    result_ttl: float = 86_400.0
    result_ttl_ms: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "result_ttl_ms", milliseconds(self.result_ttl, least=1))


class BackoffChange(BaseModel):
    """The `backoff` of a policy; seconds."""

    model_config = _STRICT

    base: Seconds | None = None
    factor: Annotated[float, Field(ge=1, allow_inf_nan=False)] | None = None
    max: Seconds | None = None


class PolicyChange(BaseModel):
    """What a decorator or a config item's `policy` may say; whatever is left out stays as it was.

    An attribute that is not known is an error, so that a misspelt `timout` is not ignored.
    """

    model_config = _STRICT

    timeout: SomeSeconds | None = None
    max_attempts: Annotated[int, Field(ge=1)] | None = None
    backoff: BackoffChange | None = None
    result_ttl: SomeSeconds | None = None

    def over(self, policy: Policy) -> Policy:
        """The given policy with these changes."""
        changes: dict[str, Any] = self.model_dump(exclude_none=True)
        if "backoff" in changes:
            changes["backoff"] = replace(policy.backoff, **changes["backoff"])
        return replace(policy, **changes)
