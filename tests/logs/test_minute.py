"""A line a minute says what was done; stopping and a burst say what is waited for."""

import json
import logging
import re
import signal
import time
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import anyio
import pytest
import redis

from tests.support.in_process import StartInProcess
from tests.support.producer import Producer, job
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker
from worker import App, Reject, Retry
from worker.errors import Malformed, PayloadInvalid
from worker.process import minute
from worker.process.tally import RunTimes, Tally

pytestmark = [pytest.mark.once]

app = App()


@app.handler
async def echo(payload: int) -> int:
    return payload


@app.handler
async def bad(payload: int) -> None:
    raise ValueError(payload)


@app.handler
async def rejects(payload: int) -> None:
    raise Reject


@app.handler
async def retries(payload: int) -> None:
    raise Retry(delay=3600)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


def minutes(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [
        record.getMessage()
        for record in caplog.records
        if vars(record).get("event") == "minute" and record.name == "worker"
    ]


@pytest.mark.anyio
async def test_a_line_a_minute_says_what_was_done_and_none_when_nothing_was(
    worker_in_process: StartInProcess,
    producer: Producer,
    r: redis.Redis,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    assert minute.EVERY == 60
    monkeypatch.setattr(minute, "EVERY", 0.2)
    looks: list[None] = []
    monkeypatch.setattr(minute, "enable_own_loggers", lambda: looks.append(None))
    caplog.set_level(logging.INFO)
    producer.push_raw(*(job("echo", n, id=f"e{n}") for n in range(25)))
    producer.push_raw(*(job("retries", n, id=f"t{n}") for n in range(3)))
    producer.push_raw(*(job("bad", n, id=f"b{n}") for n in range(2)))
    producer.push_raw(job("rejects", 1, id="r"), job("echo", "no", id="p"), "no job")
    producer.push_raw(job("echo", 1, id="x", expires_at=1))
    async with worker_in_process(app, max_attempts=2, backoff_base=3600) as worker:
        await worker.drain(ValueError, Reject, PayloadInvalid, Malformed)
        await looked_again(looks, 2)
        lines = minutes(caplog)
        await looked_again(looks, 3)
        assert minutes(caplog) == lines, "nothing happened meanwhile"
    assert all(line.startswith("In the last minute: ") for line in lines)
    assert all(line.endswith(" pending.") for line in lines)
    assert any("; run time: p50 " in line for line in lines)
    names = ("finished", "failed", "buried", "retried", "stale", "expired")
    found = [
        sum(int(n) for line in lines for n in re.findall(rf"(\d+) {name}", line)) for name in names
    ]
    assert found == [25, 6, 3, 5, 0, 1]
    stopped = next(rec for rec in caplog.records if vars(rec).get("event") == "stopped")
    assert "it did: 25 finished, 6 failed, 3 buried, 5 retried, 0 stale" in stopped.getMessage()


async def looked_again(looks: list[None], times: int) -> None:
    wanted = len(looks) + times
    with anyio.fail_after(60):
        while len(looks) < wanted:  # noqa: ASYNC110 - it is a list that grows
            await anyio.sleep(0.01)


def run(ms: int | None = 5, *, stale: bool = False, **outcome: Any) -> Any:
    fields = {"status": "succeeded", "op": "finish", "reason": None, "extra": b"", "raw": b""}
    claimed = SimpleNamespace(outcome=SimpleNamespace(**fields | outcome), stale=stale)
    claimed.started_at = None if ms is None else 1_000
    if ms is not None:
        claimed.ended_at = 1_000 + ms
    return claimed


def test_jobs_that_redis_refused_are_not_counted() -> None:
    tally = Tally()
    tally.recorded([run(), run(stale=True), run()], [0, 2])
    counts, _ = tally.take()
    assert (counts["finished"], counts["stale"]) == (1, 1)
    assert not tally.take()[0]
    assert tally.total["finished"] == 1


def test_a_job_that_waits_for_its_config_has_not_failed() -> None:
    tally, raw = Tally(), b"raw"
    tally.recorded([run(None, status=None, op="later", raw=raw, extra=raw)], [])
    tally.recorded([run(None, status=None, op="front", raw=raw, extra=raw)], [])
    assert not tally.take()[0]


@pytest.mark.parametrize(
    ("counts", "text"),
    [
        ({}, "none ran"),
        ({0: 1}, "p50 under 1 ms, p95 under 1 ms"),
        ({-3: 1}, "p50 under 1 ms, p95 under 1 ms"),
        ({12: 94, 900: 1, 48: 5}, "p50 12 ms, p95 48 ms"),
        ({1_234: 1, 61_500: 1}, "p50 1,234 ms, p95 61.5 s"),
    ],
)
def test_run_times(counts: dict[int, int], text: str) -> None:
    assert str(RunTimes(Counter(counts))) == text


def test_of_many_jobs_in_one_exchange_some_stand_for_all() -> None:
    tally = Tally()
    for _ in range(100):
        tally.recorded([run(n) for n in range(100)], [])
    counts, run_times = tally.take()
    assert counts["finished"] == 10_000
    assert 40 <= run_times.percentile(50) <= 60
    assert 85 <= run_times.percentile(95) <= 99


# -- stopping, bursts ------------------------------------------------------------------------------

SLEEPER = """
import asyncio
from worker import App
app = App()

@app.handler
async def nap(payload):
    await asyncio.sleep(payload)
"""


@pytest.fixture
def sleeper(tmp_path: Path) -> str:
    (tmp_path / "sleeper.py").write_text(SLEEPER)
    return "sleeper:app"


def test_stopping_says_for_what_it_waits_and_what_a_second_signal_does(
    start_worker: StartWorker, producer: Producer, sleeper: str
) -> None:
    worker = start_worker(app=sleeper, grace_period=30)
    for _ in range(3):
        producer.push("nap", 60)
    done = producer.push("nap", 0)
    assert producer.result(done)["status"] == "succeeded"
    wait_until(lambda: len(producer.active()) == 3)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "Stopping" in worker.log)
    assert "Running jobs: 3; they have 30 s to end (WORKER_GRACE_PERIOD)" in worker.log
    assert "A second signal does that at once." in worker.log
    assert worker.stop() == 1
    assert "has stopped; 3 jobs went back. In " in worker.log
    assert "it did: 1 finished, 0 failed, 0 buried, 0 retried, 0 stale." in worker.log


def test_an_idle_worker_says_that_no_job_runs(start_worker: StartWorker) -> None:
    worker = start_worker()
    assert worker.stop() == 0
    assert "Stopping: nothing more is claimed. No job runs." in worker.log
    assert "it did: 0 finished" in worker.log


def test_a_burst_says_what_it_still_waits_for(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, sleeper: str
) -> None:
    producer.push("nap", 4)
    worker = start_worker("--burst", app=sleeper)
    later = time.time() * 1000 + 6_000
    r.zadd("{jobs}:scheduled", {json.dumps({"id": "l", "handler": "nap", "payload": 0}): later})
    assert worker.wait() == 0
    (line,) = [line for line in worker.log.splitlines() if "burst still waits" in line]
    assert "waits for jobs: 1 held by this worker, 1 scheduled (the next is due in " in line
