"""What one turn of the exchange loop does: decided from plain facts alone."""

from typing import Literal, NamedTuple


class Facts(NamedTuple):
    """All that a turn depends on."""

    # Whether Redis's active list is known to hold what we believe. Not so at the start, after a
    # reply that did not arrive, and after the lease ended.
    reconciled: bool
    # Whether a blocking read is under way. It may bring a job, so nothing is claimed beside it.
    reading: bool
    # How many outcomes wait to be recorded.
    unsent: int
    # How many slots may be filled, counting those that recording `unsent` frees; 0 while draining.
    free: int
    # The most to claim at once.
    batch: int
    # Seconds until claiming is allowed again, because jobs wait for their config; 0 or less: now.
    pause: float


class Turn(NamedTuple):
    """What to do. `limit` is how many jobs to claim, `wake_after` when to look again (seconds;
    0: not before something happens).
    """

    action: Literal["reconcile", "exchange", "sleep"]
    limit: int = 0
    wake_after: float = 0.0


def plan(facts: Facts) -> Turn:
    """Decide the next turn."""
    if not facts.reconciled:
        # The read may still bring a job; its end wakes the loop.
        return Turn("sleep") if facts.reading else Turn("reconcile")
    if facts.reading:
        return Turn("exchange") if facts.unsent else Turn("sleep")
    pause = max(0.0, facts.pause)
    limit = 0 if pause else min(facts.free, facts.batch)
    if facts.unsent or limit:
        return Turn("exchange", limit, pause)
    return Turn("sleep", 0, pause)


def next_step(
    limit: int, claimed: int, *, agrees: bool
) -> Literal["reconcile", "again", "wait", "sleep"]:
    """What follows an exchange that asked for `limit` jobs and claimed `claimed`.

    `agrees` says whether the lease is live and Redis counts as many active jobs as we do.
    """
    if not agrees:
        return "reconcile"
    if 0 < limit <= claimed:
        return "again"  # the queue has more
    return "wait" if limit else "sleep"
