"""`App(lifespan=...)`: once in a process, entered before the first claim, left after the drain."""

import json
import signal
import time
from pathlib import Path

import pytest
import redis

from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import RunCommand, StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.lifespans:app"
REGISTERED = "{jobs}:workers"


def events(r: redis.Redis) -> list[str]:
    return [str(event) for event in r.lrange("events", 0, -1)]


def test_it_is_entered_before_the_first_claim_and_left_after_the_drain(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    table.put("pool", size=3)
    nap = producer.push("nap", 0.5, id="a")
    worker = start_worker(app=APP)
    wait_until(lambda: "a runs" in events(r))
    assert worker.stop() == 0, worker.log
    assert producer.result(nap)["result"] is True
    assert events(r) == [
        *("enters with 3 handlers", "entered", "a runs", "a ends", "leaves", "left"),
    ]


def test_what_it_yields_is_the_state_of_each_process(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    table.put("pool", size=3)
    worker = start_worker("--processes", "2", "--concurrency", "1", app=APP)
    assert producer.run("use_in_thread", 7)["result"] == [7, True]
    wait_until(lambda: events(r).count("entered") == 2)
    is_open, item, _ = producer.run("use")["result"]
    assert (is_open, item) == (True, {"key": "pool", "size": 3})
    assert worker.stop() == 0
    assert events(r).count("left") == 2


def test_a_burst_leaves_it_too(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    producer.push("use")
    assert start_worker("--burst", app=APP, ready=False).wait() == 0
    assert events(r)[-1] == "left"


@pytest.mark.parametrize("processes", [1, 2])
@pytest.mark.parametrize(
    ("mode", "message", "traceback"),
    [
        ("fails in", "failed on its way in", "LookupError: no database there"),
        ("exits in", "failed on its way in", "SystemExit: DATABASE_URL is not set"),
        ("hangs in", "did not yield within 0.5 s (WORKER_STARTUP_TIMEOUT)", "await hang()"),
        ("blocks in", "has blocked the event loop", "time.sleep(3600)"),
    ],
)
def test_what_goes_wrong_on_the_way_in_ends_the_worker_and_claims_nothing(
    start_worker: StartWorker,
    r: redis.Redis,
    producer: Producer,
    mode: str,
    message: str,
    traceback: str,
    processes: int,
) -> None:
    producer.push("use", id="a")
    worker = start_worker(
        "--processes", str(processes), app=APP, env={"MODE": mode}, ready=False, startup_timeout=0.5
    )
    assert worker.wait() == 1, worker.log
    assert message in worker.log
    assert traceback in worker.log
    assert f'{__name__.split(".")[0]}/apps/lifespans.py"' in worker.log
    assert "entered" not in events(r)
    assert not r.exists(REGISTERED)
    assert [json.loads(raw)["id"] for raw in r.lrange("jobs", 0, -1)] == ["a"]
    if mode == "hangs in":
        assert events(r).count("cancelled on its way in") >= 1
    if processes == 1 and mode != "blocks in":
        assert f"worker: the app's lifespan {message}" in worker.log


def test_one_that_swallows_its_cancellation_on_the_way_in_holds_nothing_up(
    start_worker: StartWorker, r: redis.Redis
) -> None:
    worker = start_worker(app=APP, env={"MODE": "swallows in"}, ready=False, startup_timeout=0.5)
    assert worker.wait() == 1, worker.log
    assert not r.exists(REGISTERED)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_on_the_way_in_ends_the_worker_cleanly(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, number: signal.Signals
) -> None:
    producer.push("use")
    worker = start_worker(app=APP, env={"MODE": "hangs in"}, ready=False, startup_timeout=60)
    wait_until(lambda: events(r))
    worker.signal(number)
    assert worker.wait(10) == 0, worker.log
    assert events(r)[1:] == ["cancelled on its way in"]
    assert "Traceback" not in worker.log
    assert r.llen("jobs") == 1
    assert not r.exists(REGISTERED)


@pytest.mark.parametrize(
    ("mode", "message", "traceback"),
    [
        ("fails out", "failed on its way out", "LookupError: no database there"),
        ("exits out", "failed on its way out", "SystemExit: DATABASE_URL is not set"),
        ("hangs out", "did not end within 1 s (WORKER_GRACE_PERIOD)", "await hang()"),
        ("swallows out", "did not end within 1 s (WORKER_GRACE_PERIOD)", "lifespan"),
        ("blocks out", "has blocked the event loop", "time.sleep(3600)"),
    ],
)
def test_what_goes_wrong_on_the_way_out_is_shown_and_nothing_is_held(
    start_worker: StartWorker,
    r: redis.Redis,
    producer: Producer,
    mode: str,
    message: str,
    traceback: str,
) -> None:
    worker = start_worker(app=APP, env={"MODE": mode}, grace_period=1)
    nap = producer.push("nap", 60)
    wait_until(lambda: len(events(r)) == 3)
    began = time.monotonic()
    assert worker.stop() == 1, worker.log
    assert time.monotonic() - began < 20
    assert message in worker.log
    assert traceback in worker.log
    assert not r.exists(REGISTERED)
    assert not producer.active()
    assert [json.loads(raw)["id"] for raw in r.lrange("jobs", 0, -1)] == [nap]


def test_a_second_signal_leaves_it_a_moment_only(start_worker: StartWorker, r: redis.Redis) -> None:
    worker = start_worker(app=APP, env={"MODE": "hangs out"}, grace_period=60)
    worker.signal(signal.SIGTERM)
    wait_until(lambda: "leaves" in events(r))
    worker.signal(signal.SIGTERM)
    assert worker.wait(15) == 1


def test_one_that_ends_while_the_worker_runs_takes_the_worker_with_it(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    worker = start_worker(app=APP, env={"MODE": "dies"}, ready=False)
    assert worker.wait() == 1, worker.log
    assert "ended while the worker ran" in worker.log
    assert "ConnectionError: the pool's own task is gone" in worker.log
    assert not r.exists(REGISTERED)


def test_a_state_without_a_lifespan_is_refused_at_the_start(
    run_command: RunCommand, tmp_path: Path
) -> None:
    source = "from worker import App\napp = App()\n@app.handler\ndef use(state): ...\n"
    (tmp_path / "mine.py").write_text(source)
    for command in ("run", "check"):
        done = run_command(command, "mine:app")
        assert done.returncode == 1
        assert "handler 'use' takes 'state'" in done.stdout + done.stderr
        assert "App(lifespan=...)" in done.stdout + done.stderr
