"""How many jobs to claim at once, and when to claim none."""

import pytest

from worker.execution.config_pace import ConfigPace
from worker.process.pace import BatchSize

pytestmark = pytest.mark.once

NEAR, FAR = 0.0005, 0.05  # seconds of an exchange


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def test_near_redis_and_with_config_known_claims_come_in_halves() -> None:
    size = BatchSize(100)
    assert size.most(ready_in_a_row=100) == 100, "how far Redis is away is not known yet"
    size.exchanged(NEAR, [])
    assert size.most(ready_in_a_row=100) == 50
    size.exchanged(FAR, [])
    assert size.most(ready_in_a_row=100) == 100


def test_large_jobs_take_longer_to_copy_and_that_is_no_distance() -> None:
    size = BatchSize(10)
    size.exchanged(0.003, [b"x" * 1_000_000])
    assert size.most(ready_in_a_row=10) == 5


@pytest.mark.parametrize("ready", [0, 1, 99])
def test_until_config_is_known_all_slots_are_filled_at_once(ready: int) -> None:
    """A worker that was idle reads the config of a flood in full batches: a hundred keys each."""
    size = BatchSize(100)
    size.exchanged(NEAR, [])
    assert size.most(ready) == 100


def test_a_job_that_waits_for_its_config_ends_the_row() -> None:
    pace = ConfigPace(100)
    pace.ready_in_a_row = 500
    pace.waits()
    assert pace.ready_in_a_row == 0


def test_a_few_slots_stay_empty_while_more_jobs_wait_for_their_config() -> None:
    clock = Clock()
    pace = ConfigPace(100, clock)
    pace.waits()
    assert pace.gather(99) == 0, "many slots are free, few jobs wait"
    for _ in range(99):
        pace.waits()
    pace.waited()
    assert 0 < pace.gather(1) <= 0.21, "a claim of one would be a read of its own"
    assert pace.gather(0) == 0
    clock.now += 0.2
    assert pace.gather(1) <= 0, "a slow read holds nobody up for long"
    for _ in range(99):
        pace.waited()
    clock.now -= 0.2
    assert pace.gather(1) == 0


def test_claiming_pauses_while_no_job_gets_its_config_and_ever_longer() -> None:
    clock = Clock()
    pace = ConfigPace(4, clock)
    for _ in range(3):
        pace.failed()
    assert pace.pause == 0.0, "three of four slots: another job may find its config"
    pace.failed()
    assert 0.25 <= pace.pause <= 0.5
    for _ in range(40):
        clock.now += 10
        assert pace.pause <= 0
        for _ in range(4):
            pace.failed()
        assert 0.25 <= pace.pause <= 5.0
    assert pace.pause >= 2.5
    pace.recovered()
    assert pace.pause == 0.0
