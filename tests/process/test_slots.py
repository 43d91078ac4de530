"""Slots: taken and given back in one way, shared by the queues."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.process.slots import Slots, SlotUser

pytestmark = pytest.mark.once


def a_user(woken: list[str] | None = None, name: str = "") -> SlotUser:
    return SlotUser(lambda: woken.append(name) if woken is not None else None)


def test_what_a_claim_does_not_fill_is_free_again() -> None:
    slots, user = Slots(10), a_user()
    with slots.take(6) as taken:
        assert slots.free_for(user) == 4
        taken.keep(2)
    assert (slots.used, slots.free_for(user)) == (2, 8)


def test_a_claim_that_fails_keeps_none() -> None:
    slots = Slots(10)
    with pytest.raises(OSError, match="away"), slots.take(6):
        raise OSError("away")
    assert slots.used == 0


def test_slots_of_jobs_that_leave_in_the_same_exchange_count_as_free() -> None:
    slots, user = Slots(2), a_user()
    slots.fill(2)
    assert slots.free_for(user) == 0
    assert slots.free_for(user, leaving=1) == 1


def test_a_queue_that_found_none_is_woken_and_keeps_one_slot() -> None:
    woken: list[str] = []
    slots, busy, idle = Slots(2), a_user(woken, "busy"), a_user(woken, "idle")
    slots.fill(2)
    assert slots.free_for(idle) == 0
    slots.give_back()
    assert woken == ["idle"]
    assert slots.free_for(busy) == 0, "the one free slot is kept for the queue that waits longer"
    assert slots.free_for(idle) == 1
    assert not slots.has_spare, "the busy queue waits now"


def test_a_queue_that_pauses_keeps_none() -> None:
    slots, pausing, other = Slots(1), a_user(), a_user()
    slots.fill(1)
    assert slots.free_for(pausing) == 0
    slots.step_back(pausing)
    slots.give_back()
    assert slots.free_for(other) == 1


def test_nothing_is_free_while_draining_or_while_a_suspect_waits() -> None:
    slots, user = Slots(5), a_user()
    changed: list[int] = []
    slots.fill(2)
    slots.reserve_for_suspect(lambda: changed.append(slots.used))
    assert slots.free_for(user) == 0
    assert slots.free_for(user, leaving=2) == 0, "also where an exchange frees some"
    assert not slots.has_spare
    slots.give_back()
    assert changed == [1]
    slots.end_reservation()
    assert slots.free_for(user) == 4
    slots.close()
    assert slots.free_for(user, leaving=1) == 0


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5), st.booleans()), max_size=40))
def test_no_sequence_of_claims_leaks_or_doubles_a_slot(steps: list[tuple[int, int, bool]]) -> None:
    slots = Slots(8)
    users = [a_user() for _ in range(4)]
    held = 0
    for who, claimed, fails in steps:
        leaving = held if fails else 0
        free = slots.free_for(users[who], leaving)
        assert 0 <= free <= 8 - held + leaving
        try:
            with slots.take(free) as taken:
                if fails:
                    raise OSError("the reply is lost")  # noqa: TRY301
                kept = min(free, claimed)
                taken.keep(kept)
                held += kept
        except OSError:
            pass
        assert slots.used == held
    slots.give_back(held)
    assert slots.used == 0
