"""How a job runs: the settings, overridden by its handler's decorator, overridden by its config.

The rules stand here once, for decorators and config items. They are plain code, since `import
worker` must not import pydantic.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

from worker.jobs.backoff import Backoff

POLICY_OPTIONS = (
    "timeout (s), max_attempts, backoff (a mapping of base, factor, max) and result_ttl (s)"
)
# A century: a time to live that Redis can hold, with much to spare.
LONGEST_MS = 100 * 366 * 86_400_000


def milliseconds(seconds: float, *, least: int = 0) -> int:
    """Return whole milliseconds that Redis takes: from `least` to a century."""
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

    def changed(self, changes: Mapping[str, Any]) -> Self:
        """Return this policy with changes that have no problems. None changes nothing."""
        given = _values(changes, _RANGES)
        backoff = replace(self.backoff, **_values(changes.get("backoff") or {}, _BACKOFF_RANGES))
        return replace(self, **given, backoff=backoff)


class PolicyProblem(NamedTuple):
    """What is wrong with one attribute of a policy.

    `path` leads to the attribute. `expected` completes "must be"; it is None where a policy has no
    such attribute, or none with such a value.
    """

    path: tuple[str, ...]
    value: Any
    expected: str | None = None

    def __str__(self) -> str:
        """The problem as one of a config item, without the value, which may be a secret."""
        is_wrong = f"is none of {POLICY_OPTIONS}"
        if self.expected is not None:
            is_wrong = f"must be {self.expected}"
        return f"{'.'.join(('policy', *self.path))}: {is_wrong}"


def policy_problems(changes: Any) -> list[PolicyProblem]:
    """Return all that is wrong with a decorator's options, or with a config item's `policy`.

    An attribute that is not known is wrong, so that a misspelt `timout` is not ignored.
    """
    if not isinstance(changes, Mapping):
        return [PolicyProblem((), changes, "an object")]
    problems = list(_problems(changes, _RANGES, ()))
    backoff = changes.get("backoff")
    if isinstance(backoff, Mapping):
        problems += _problems(backoff, _BACKOFF_RANGES, ("backoff",))
    elif backoff is not None:
        problems.append(PolicyProblem(("backoff",), backoff))
    return problems


class _Range(NamedTuple):
    """The numbers that an attribute takes: those from `least` up, or only those above it."""

    least: float
    above: bool = False
    whole: bool = False

    def expected(self, value: Any) -> str | None:
        """Return what the value must be and is not; None where it is fine."""
        if not _is_number(value) or value < self.least or (self.above and value == self.least):
            kind = "a number above {}" if self.above else "a number from {} up"
            return kind.format(self.least)
        if self.whole and value != int(value):
            return "whole"
        return None


_RANGES = {
    "timeout": _Range(0, above=True),
    "max_attempts": _Range(1, whole=True),
    "result_ttl": _Range(0, above=True),
}
_BACKOFF_RANGES = {"base": _Range(0), "factor": _Range(1), "max": _Range(0)}


def _problems(
    changes: Mapping[str, Any], ranges: Mapping[str, _Range], path: tuple[str, ...]
) -> Iterator[PolicyProblem]:
    for name, value in changes.items():
        if name in ranges:
            expected = None if value is None else ranges[name].expected(value)
            if expected is not None:
                yield PolicyProblem((*path, name), value, expected)
        elif (*path, name) != ("backoff",):
            yield PolicyProblem((*path, str(name)), value)


def _is_number(value: Any) -> bool:
    """Return whether the value is a number that a double holds. `true` is not 1 second."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:  # an integer beyond doubles
        return False


def _values(changes: Mapping[str, Any], ranges: Mapping[str, _Range]) -> dict[str, Any]:
    """Return the changes that give a number, each as a policy has it."""
    return {
        name: int(value) if ranges[name].whole else float(value)
        for name, value in changes.items()
        if name in ranges and value is not None
    }
