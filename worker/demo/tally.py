"""Counts a tenant's deliveries by their results."""

from dataclasses import dataclass, field

from worker.jobs.result import Result


@dataclass
class Tally:
    """Counts of final results.

    `later` were delivered after a retry or more. `pickups` are ms from enqueueing to the start of
    the handler.
    """

    delivered: int = 0
    later: int = 0
    retries: int = 0
    dead: int = 0
    pickups: list[int] = field(default_factory=list)

    def add(self, result: Result) -> None:
        """Count one more result."""
        if result.status == "succeeded":
            self.delivered += 1
            self.later += result.attempts > 1
        else:
            self.dead += 1
        self.retries += max(0, result.attempts - 1)
        # A retried job's start is that of its last attempt, which measures the backoff instead.
        if result.attempts == 1 and result.started_at and result.enqueued_at:
            self.pickups.append(max(0, result.started_at - result.enqueued_at))

    @property
    def done(self) -> int:
        """Return how many deliveries have reached their final state."""
        return self.delivered + self.dead

    def pickup(self, percent: int) -> int | None:
        """Return the pickup that `percent` of the first attempts did not exceed, or None."""
        if not self.pickups:
            return None
        return sorted(self.pickups)[(len(self.pickups) - 1) * percent // 100]


def total(tallies: list[Tally]) -> Tally:
    """Return their sum."""
    return Tally(
        delivered=sum(tally.delivered for tally in tallies),
        later=sum(tally.later for tally in tallies),
        retries=sum(tally.retries for tally in tallies),
        dead=sum(tally.dead for tally in tallies),
        pickups=[ms for tally in tallies for ms in tally.pickups],
    )
