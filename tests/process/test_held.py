"""What a worker holds, and what becomes of it after doubt: rules in process."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.execution.claimed_job import ClaimedJob, JobState
from worker.jobs.keys import Keys
from worker.jobs.outcome import requeue
from worker.process.held import HeldJobs
from worker.process.slots import Slots

pytestmark = pytest.mark.once


class World:
    def __init__(self) -> None:
        self.slots = Slots(100)
        self.changes = 0
        self.gone: list[ClaimedJob] = []
        self.held = HeldJobs(Keys("jobs"), self.slots, self._changed, self.gone.extend)

    def _changed(self) -> None:
        self.changes += 1

    def claim(self, *raws: bytes) -> list[ClaimedJob]:
        self.slots.fill(len(raws))
        return self.held.add(list(raws))

    def decide(self, claimed: ClaimedJob) -> None:
        claimed.state, claimed.outcome = JobState.DECIDED, requeue(claimed.raw)
        self.held.settle(claimed, claimed.outcome)


def test_a_recorded_job_is_gone_and_its_slot_free() -> None:
    world = World()
    first, second = world.claim(b"1", b"2")
    world.decide(first)
    assert (world.changes, world.held.unsent) == (1, 1)
    with world.held.sending() as sent:
        assert sent == [first]
    assert (len(world.held), world.slots.used, world.held.unsent) == (1, 1, 0)
    assert world.gone == [first]
    assert (first.state, second.state) == (JobState.GONE, JobState.WAITING)


def test_outcomes_of_a_failed_exchange_wait_for_the_next_ahead_of_later_ones() -> None:
    world = World()
    first, second = world.claim(b"1", b"2")
    world.decide(first)
    with pytest.raises(OSError, match="away"), world.held.sending():  # noqa: PT012
        world.decide(second)
        raise OSError("away")
    with world.held.sending() as sent:
        assert sent == [first, second]


def test_jobs_that_arrive_while_draining_go_back_in_the_order_of_their_claims() -> None:
    """The last to go to the front stands first there."""
    world = World()
    for claimed in world.claim(b"1", b"2", b"3"):
        world.held.give_back(claimed)
    with world.held.sending() as sent:
        assert [claimed.raw for claimed in sent] == [b"3", b"2", b"1"]


def test_of_twins_the_one_with_an_outcome_is_the_one_that_is_gone() -> None:
    world = World()
    first, second = world.claim(b"twin", b"twin")
    world.decide(first)
    lost, unseen = world.held.reconcile([b"twin"])
    assert (lost, unseen) == ([first], [])
    assert list(world.held) == [second]
    assert world.held.unsent == 0


raws = st.sampled_from([b"a", b"b", b"c"])


@given(held=st.lists(st.tuples(raws, st.booleans()), max_size=8), listed=st.lists(raws, max_size=8))
def test_after_reconciling_we_hold_what_redis_lists(
    held: list[tuple[bytes, bool]], listed: list[bytes]
) -> None:
    world = World()
    for claimed, decided in zip(
        world.claim(*(raw for raw, _ in held)), (d for _, d in held), strict=True
    ):
        if decided:
            world.decide(claimed)
    lost, unseen = world.held.reconcile(listed)
    assert Counter(claimed.raw for claimed in world.held) == Counter(listed)
    assert world.slots.used == len(listed)
    assert not set(lost) & set(world.held)
    assert set(unseen) <= set(world.held)
    with world.held.sending() as sent:
        assert not set(sent) & set(lost)
