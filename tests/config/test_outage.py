"""When reads pause, and what the log says of an outage."""

import pytest

from tests.config.fakes import Clock
from worker.config.outage import ConfigOutage
from worker.errors import ConfigUnavailable

AWAY = ConfigUnavailable("away")
REFUSED = ConfigUnavailable("refused", misconfigured=True)


def test_reads_pause_longer_the_more_of_them_fail() -> None:
    clock = Clock()
    outage = ConfigOutage(clock)
    pauses = []
    for _ in range(8):
        outage.failed(AWAY, clock.now)
        began = clock.now
        while outage.pauses_reads:
            clock.now += 0.01
        pauses.append(clock.now - began)
    assert 0.1 <= pauses[0] <= 0.21
    assert 2.5 <= pauses[-1] <= 5.01
    assert outage.failures == 8


def test_of_reads_that_fail_together_one_counts() -> None:
    clock = Clock()
    outage = ConfigOutage(clock)
    began_at = clock.now
    clock.now += 2
    for _ in range(5):
        outage.failed(AWAY, began_at)
    assert outage.failures == 1


def test_a_read_that_began_before_the_outage_does_not_end_it() -> None:
    clock = Clock()
    outage = ConfigOutage(clock)
    began_at = clock.now
    clock.now += 1
    outage.failed(AWAY, clock.now)
    outage.succeeded(began_at)
    assert outage.failures == 1
    clock.now += 1
    outage.succeeded(clock.now)
    assert (outage.failures, outage.pauses_reads) == (0, False)


def test_an_outage_that_no_read_has_met_for_long_may_be_over() -> None:
    clock = Clock()
    outage = ConfigOutage(clock)
    outage.failed(AWAY, clock.now)
    clock.now += 14
    assert outage.failures == 1
    clock.now += 2
    assert outage.failures == 0


def test_an_outage_is_logged_once_and_again_when_its_kind_changes(
    caplog: pytest.LogCaptureFixture,
) -> None:
    clock = Clock()
    outage = ConfigOutage(clock)
    for error in (AWAY, AWAY, REFUSED, REFUSED, AWAY):
        clock.now += 1
        outage.failed(error, clock.now)
    clock.now += 1
    outage.succeeded(clock.now)
    outage.succeeded(clock.now)
    first, second, third, last = (record.getMessage() for record in caplog.records)
    assert first.startswith("Config can't be read: away. The worker tries again; meanwhile jobs")
    assert second.startswith("Config can't be read: refused. An operator has to fix this; meanw")
    assert third == first
    assert last == "DynamoDB can be read again; jobs run with fresh config."
