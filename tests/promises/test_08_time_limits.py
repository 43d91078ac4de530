"""Time limits hold, whatever the handler makes of being cancelled."""

import time
from decimal import Decimal
from pathlib import Path

import pytest
import redis

from tests.support.producer import Producer, job
from tests.support.table import Table
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.promises:app"
LIMIT = 0.3
# How long a cancelled handler has to clean up before it is given up.
CLEAN_UP = 3.0


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    notes = tmp_path / "notes"
    notes.touch()
    return notes


def test_an_async_handler_over_its_limit_is_cancelled_and_has_failed_an_attempt(
    start_worker: StartWorker, producer: Producer, notes: Path
) -> None:
    start_worker(app=APP, timeout=LIMIT, max_attempts=2, backoff_base=0)
    producer.push("tidy", str(notes), id="1")
    began = time.monotonic()
    found = producer.result("1")
    assert 2 * LIMIT < time.monotonic() - began < 2 * LIMIT + 1 + tolerance()
    assert (found["status"], found["attempts"]) == ("failed", 2)
    assert found["error"] == {
        "type": "Timeout",
        "message": "the job ran longer than its time limit of 0.3 s",
        "traceback": None,
    }
    assert notes.read_text().count("is clean") == 2
    assert [entry["reason"] for entry in producer.dead()] == ["failed"]


def test_the_limit_in_the_config_is_the_one_that_holds(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    table.put("brief", policy={"timeout": Decimal("0.2"), "max_attempts": 1})
    start_worker(app=APP)
    producer.push("nap", 60, id="brief", config="brief")
    producer.push("nap", 0.5, id="long")
    assert producer.result("brief")["error"]["type"] == "Timeout"
    assert producer.result("long")["status"] == "succeeded"


def test_what_a_handler_returns_after_its_time_is_dropped(
    start_worker: StartWorker, producer: Producer
) -> None:
    start_worker(app=APP, timeout=LIMIT, max_attempts=1)
    producer.push("slow_to_leave", 0.3, id="1")
    found = producer.result("1")
    assert (found["status"], found["result"], found["error"]["type"]) == ("failed", None, "Timeout")


def test_a_handler_that_swallows_cancellation_is_reported_and_does_not_hold_the_exit(
    start_worker: StartWorker, producer: Producer, notes: Path
) -> None:
    worker = start_worker(app=APP, timeout=LIMIT, max_attempts=1, concurrency=1)
    producer.push("stubborn", str(notes), id="1")
    producer.push("echo", id="next")
    began = time.monotonic()
    assert producer.result("1")["error"]["type"] == "Timeout"
    assert producer.result("next")["status"] == "succeeded"
    assert time.monotonic() - began < LIMIT + CLEAN_UP + tolerance()
    assert "Job '1' ('stubborn')" in worker.log
    assert "its handler swallows cancellation" in worker.log
    Path(f"{notes}.end").touch()
    producer.push("echo", id="after")
    assert producer.result("after")["status"] == "succeeded"
    assert producer.result("1")["status"] == "failed"
    Path(f"{notes}.end").unlink()
    producer.push("stubborn", str(notes), id="2")
    wait_until(lambda: "2 begins" in notes.read_text())
    producer.result("2")
    leaving = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - leaving < 1 + tolerance()


def test_a_handler_that_swallows_cancellation_on_a_deploy_is_given_back(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, notes: Path
) -> None:
    worker = start_worker(app=APP, grace_period=0.2)
    raw = producer.push_raw(job("stubborn", str(notes), id="1"))
    wait_until(lambda: "begins" in notes.read_text())
    leaving = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - leaving < 0.2 + CLEAN_UP + 1 + tolerance()
    assert r.lrange("jobs", 0, -1) == [raw]
    assert set(r.keys()) == {"jobs"}


def test_a_sync_handler_over_its_limit_is_abandoned_and_starves_nobody(
    start_worker: StartWorker, producer: Producer, notes: Path
) -> None:
    worker = start_worker(app=APP, timeout=LIMIT, max_attempts=1, concurrency=2)
    for number in range(6):
        producer.push("in_thread", {"file": str(notes), "seconds": 2}, id=f"{number}")
    producer.push("in_thread", {"file": str(notes), "seconds": 0}, id="next")
    began = time.monotonic()
    assert producer.result("next")["status"] == "succeeded"
    assert time.monotonic() - began < 3 * LIMIT + tolerance()
    for number in range(6):
        assert producer.result(f"{number}")["error"]["type"] == "Timeout"
    assert "Threads left behind: 6" in worker.log
    assert "its thread can't be stopped" in worker.log
    # What they return in the end changes nothing, and their threads are no longer counted.
    wait_until(lambda: notes.read_text().count("ends") == 7)
    producer.wait_idle()
    assert {producer.result(f"{number}")["status"] for number in range(6)} == {"failed"}
    assert len(producer.dead()) == 6
    producer.push("in_thread", {"file": str(notes), "seconds": 2}, id="7")
    producer.result("7")
    assert worker.log.count("Threads left behind: 1.") == 2
    leaving = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - leaving < 1 + tolerance()
    assert producer.active() == []
