"""The seam for features that watch or gate jobs. Whatever is not registered costs nothing.

One `Hooks` per process. A list is read only where it is not empty, so a job pays one look at an
empty list for each kind of hook.
"""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from worker.execution.claimed_job import ClaimedJob
from worker.jobs.outcome import Outcome

# Called when a job has its handler, config and policy, before its payload is read. An outcome ends
# the job there: a limit that parks it, a cancel. None lets it go on.
BeforeRun = Callable[[ClaimedJob], Awaitable[Outcome | None]]
# Wraps the call of the handler: `await call_next()` runs what is inside and returns its value.
AroundRun = Callable[[ClaimedJob, Callable[[], Awaitable[Any]]], Awaitable[Any]]
# Called when an attempt has failed, or a job can't run: with the exception, and whether the job is
# tried again. Not for a Retry that is granted.
Fate = Literal["retried", "buried"]
Failed = Callable[[ClaimedJob, BaseException, Fate], None]
# Called once Redis has confirmed the outcome: never for an outcome that Redis refused.
Recorded = Callable[[ClaimedJob, Outcome], None]
# Called with a name from EVENTS and its facts.
OnEvent = Callable[[str, Mapping[str, Any]], None]

EVENTS = {
    "started": "the worker takes its first jobs: worker, queues",
    "stopping": "claiming has stopped: worker",
    "redis_away": "Redis does not answer: error",
    "redis_back": "Redis answers again: seconds",
    "lease_lost": "the lease of a queue had ended: queue, jobs (how many were given to others)",
    "worker_recovered": "a dead worker's jobs were given back: queue, worker, jobs",
}


@dataclass(slots=True)
class Hooks:
    """What is registered, in the order in which it is called."""

    before_run: list[BeforeRun] = field(default_factory=list)
    around_run: list[AroundRun] = field(default_factory=list)
    failed: list[Failed] = field(default_factory=list)
    recorded: list[Recorded] = field(default_factory=list)
    on_event: list[OnEvent] = field(default_factory=list)

    def event(self, name: str, **facts: Any) -> None:
        """Report an event to whoever registered for events."""
        for hook in self.on_event:
            hook(name, facts)
