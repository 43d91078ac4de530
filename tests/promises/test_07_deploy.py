"""A deploy costs nothing: what can't be finished goes back as it was, in its order."""

import signal
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer, job
from tests.support.table import Table
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import StartWorker

APP = "tests.apps.promises:app"
GRACE = 1.0


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    notes = tmp_path / "notes"
    notes.touch()
    return notes


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_jobs_go_back_in_their_order_with_nothing_counted(
    start_worker: StartWorker,
    r: redis.Redis,
    producer: Producer,
    table: Table,
    dynamo_proxy: DynamoProxy,
    notes: Path,
    number: Any,
) -> None:
    worker = start_worker(
        app=APP,
        env={"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url},
        config_ttl=60,
        grace_period=GRACE,
        concurrency=6,
    )
    short = producer.push_raw(job("note", {"file": str(notes), "seconds": GRACE / 2}, id="short"))
    long = [
        producer.push_raw(
            job("tidy", str(notes), id=f"long-{n}", attempts=1, crashes=1, mine=[1e15])
        )
        for n in (1, 2)
    ]
    wait_until(lambda: notes.read_text().count("begins") == 3)
    # These are claimed, and do not start: their config does not come.
    dynamo_proxy.delay = 30
    waiting = [
        producer.push_raw(job("echo", id=f"waiting-{n}", config=f"slow-{n}")) for n in (1, 2, 3)
    ]
    wait_until(lambda: len(producer.active()) == 6)
    pending = [producer.push_raw(job("echo", id=f"pending-{n}")) for n in (1, 2)]

    worker.signal(number)
    began = time.monotonic()
    # At once: what runs comes back only after its grace period.
    wait_until(lambda: r.llen("jobs") == 5)
    assert r.lrange("jobs", 0, -1) == [*reversed(pending), *reversed(waiting)]
    assert worker.wait() == 0
    assert GRACE <= time.monotonic() - began < GRACE + tolerance()

    assert r.lrange("jobs", 0, -1) == [*reversed(pending), *reversed(waiting), *reversed(long)]
    assert producer.result("short")["status"] == "succeeded"
    assert short not in r.lrange("jobs", 0, -1)
    assert notes.read_text().count("is clean") == 2
    assert set(r.keys()) == {"jobs", "{jobs}:result:short"}


def test_a_second_signal_gives_everything_back_at_once(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, notes: Path
) -> None:
    worker = start_worker(app=APP, grace_period=60)
    raws = [producer.push_raw(job("tidy", str(notes), id=f"{n}")) for n in (1, 2, 3)]
    wait_until(lambda: notes.read_text().count("begins") == 3)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "Stopping" in worker.log)
    began = time.monotonic()
    worker.signal(signal.SIGINT)
    assert worker.wait() == 1
    assert time.monotonic() - began < tolerance()
    assert r.lrange("jobs", 0, -1) == raws[::-1]
    assert notes.read_text().count("is clean") == 3
    assert set(r.keys()) == {"jobs"}


def test_claiming_stops_at_once(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, notes: Path
) -> None:
    worker = start_worker(app=APP)
    producer.push("note", {"file": str(notes), "seconds": 1}, id="keeps-it-up")
    wait_until(lambda: "begins" in notes.read_text())
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "Stopping" in worker.log)
    raws = [producer.push_raw(job("count", "late", id=f"{n}")) for n in range(10)]
    assert worker.wait() == 0
    # A blocking read may have taken one before it ended: that one has gone back to its place.
    assert r.lrange("jobs", 0, -1) == raws[::-1]
    assert r.get("runs:late") is None


def test_a_poison_suspect_that_waits_for_its_turn_goes_back_too(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    worker = start_worker(app=APP, grace_period=0, lease=30)
    long = producer.push_raw(job("nap", 60, id="long"))
    wait_until(producer.active)
    suspect = producer.push_raw(job("echo", id="suspect", crashes=2))
    wait_until(lambda: len(producer.active()) == 2)
    assert worker.stop() == 0
    assert r.lrange("jobs", 0, -1) == [suspect, long]


def test_workers_replaced_one_after_the_other_run_each_job_once(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = [f"{number}" for number in range(200)]
    r.lpush("jobs", *(job("count_slowly", id, id=id) for id in ids))
    workers = [start_worker(app=APP, concurrency=10)]
    for _ in range(2):
        workers.append(start_worker(app=APP, concurrency=10))
        assert workers.pop(0).stop() == 0
    for id in ids:
        assert producer.result(id)["attempts"] == 1
    producer.wait_idle()
    assert {r.get(f"runs:{id}") for id in ids} == {"1"}
    assert producer.dead() == []


def test_a_flood_that_is_interrupted_leaves_the_rest_in_its_order(
    start_worker: StartWorker, r: redis.Redis
) -> None:
    count = 6000
    r.lpush("jobs", *(job("echo", id=f"{n:04}") for n in range(count)))
    ended = 0
    for _ in range(4):
        worker = start_worker(app=APP, concurrency=20)
        wait_until(lambda ended=ended: len(r.keys("{jobs}:result:*")) > ended + 100)
        assert worker.stop() == 0
        ended = len(r.keys("{jobs}:result:*"))
        left = [raw.partition('"id": "')[2][:4] for raw in reversed(r.lrange("jobs", 0, -1))]  # type: ignore[arg-type]
        assert left == [f"{n:04}" for n in range(ended, count)]
