"""What a turn of the exchange loop does, by a table: no server, no clock."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker.process.turn import Facts, Turn, next_step, plan

pytestmark = pytest.mark.once

IDLE = Facts(reconciled=True, reading=False, unsent=0, free=100, batch=100, pause=0.0)

TABLE = [
    ("slots are free: claim", IDLE, Turn("exchange", 100)),
    ("a claim is no larger than a batch", IDLE._replace(batch=50), Turn("exchange", 50)),
    ("no slot is free, nothing to record: sleep", IDLE._replace(free=0), Turn("sleep")),
    ("no slot is free: record", IDLE._replace(free=0, unsent=3), Turn("exchange", 0)),
    ("record and claim in one exchange", IDLE._replace(unsent=3), Turn("exchange", 100)),
    ("a read is under way: claim nothing", IDLE._replace(reading=True), Turn("sleep")),
    ("a read is under way: record", IDLE._replace(reading=True, unsent=1), Turn("exchange", 0)),
    ("in doubt: reconcile first", IDLE._replace(reconciled=False, unsent=3), Turn("reconcile")),
    (
        "in doubt, while a read may bring a job: wait for its end",
        IDLE._replace(reconciled=False, reading=True),
        Turn("sleep"),
    ),
    (
        "no job gets its config: claim nothing, look again",
        IDLE._replace(pause=0.5),
        Turn("sleep", 0, 0.5),
    ),
    (
        "no job gets its config: record, look again",
        IDLE._replace(pause=0.5, unsent=2),
        Turn("exchange", 0, 0.5),
    ),
    ("a pause that is over", IDLE._replace(pause=-3.0), Turn("exchange", 100)),
]


@pytest.mark.parametrize(("facts", "turn"), [row[1:] for row in TABLE], ids=[r[0] for r in TABLE])
def test_each_turn(facts: Facts, turn: Turn) -> None:
    assert plan(facts) == turn


@given(
    st.builds(
        Facts,
        reconciled=st.booleans(),
        reading=st.booleans(),
        unsent=st.integers(0, 3),
        free=st.integers(0, 100),
        batch=st.integers(1, 100),
        pause=st.floats(-1, 1),
    )
)
def test_whatever_the_facts(facts: Facts) -> None:
    turn = plan(facts)
    assert 0 <= turn.limit <= min(facts.free, facts.batch)
    if facts.reading or not facts.reconciled or facts.pause > 0:
        assert turn.limit == 0
    if facts.reconciled and facts.unsent:
        assert turn.action == "exchange", "outcomes never wait"
    if turn.action == "sleep" and facts.pause > 0 and not facts.reading and facts.reconciled:
        assert turn.wake_after > 0, "nobody else would wake the loop"


@pytest.mark.parametrize(
    ("limit", "claimed", "agrees", "step"),
    [
        (50, 50, True, "again"),
        (50, 51, True, "again"),
        (50, 49, True, "wait"),
        (50, 0, True, "wait"),
        (0, 0, True, "sleep"),
        (50, 50, False, "reconcile"),
        (0, 0, False, "reconcile"),
    ],
)
def test_what_follows_an_exchange(limit: int, claimed: int, agrees: bool, step: str) -> None:
    assert next_step(limit, claimed, agrees=agrees) == step
