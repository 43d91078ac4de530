"""Delayed and retried jobs run no earlier than due, at most a second late, on Redis's clock."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.producer import Producer, job
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import RunCommand, StartWorker

APP = "tests.apps.promises:app"
LATEST = 1000


def now(r: Any) -> int:
    """Redis's time, in ms."""
    seconds, microseconds = r.time()
    return seconds * 1000 + microseconds // 1000


def idle(r: Any) -> bool:
    return r.info("clients")["blocked_clients"] > 0


def test_delayed_jobs_run_when_they_are_due_on_an_idle_queue(
    start_worker: StartWorker, r: Any, producer: Producer
) -> None:
    start_worker(app=APP)
    producer.push("redis_time", id="warm")
    producer.result("warm")
    wait_until(lambda: idle(r))
    began = now(r)
    due = {f"{delay}": began + delay for delay in (200, 210, 800, 950, 1500, 2400)}
    # Any producer may do that, and nobody tells the worker.
    r.zadd("{jobs}:scheduled", {job("redis_time", id=id): at for id, at in due.items()})
    late = {id: producer.result(id)["result"] - at for id, at in due.items()}
    assert min(late.values()) >= 0
    assert max(late.values()) <= LATEST + 1000 * tolerance()
    producer.wait_idle()


def test_retries_run_when_they_are_due(start_worker: StartWorker, producer: Producer) -> None:
    start_worker(app=APP)
    for delay in (0.0, 0.4, 1.1):
        producer.push("retry_once", delay, id=f"{delay}")
    for delay in (0.0, 0.4, 1.1):
        first, second = producer.result(f"{delay}")["result"]
        assert delay * 1000 <= second - first <= delay * 1000 + LATEST + 1000 * tolerance()


def test_a_delayed_job_outlives_the_worker(
    start_worker: StartWorker, r: Any, producer: Producer, run_command: RunCommand
) -> None:
    first = start_worker(app=APP)
    assert run_command("push", "redis_time", "--delay", "2.5", "--id", "1").returncode == 0
    ((_, due),) = r.zrange("{jobs}:scheduled", 0, -1, withscores=True)
    assert first.stop() == 0
    assert r.zcard("{jobs}:scheduled") == 1
    start_worker(app=APP)
    assert producer.result("1")["result"] >= due


@pytest.mark.parametrize("offset", [3600, -3600])
def test_host_clocks_that_are_an_hour_off_change_nothing(
    start_worker: StartWorker,
    run_command: RunCommand,
    environment: dict[str, str],
    r: Any,
    producer: Producer,
    tmp_path: Path,
    offset: Any,
) -> None:
    folder = tmp_path / "clock"
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(
        "import time\n"
        "right, right_ns = time.time, time.time_ns\n"
        f"time.time = lambda: right() + {offset}\n"
        f"time.time_ns = lambda: right_ns() + {offset} * 10**9\n"
    )
    # Every process of this test, the commands as well.
    environment["PYTHONPATH"] = f"{folder}:{environment['PYTHONPATH']}"
    began = now(r)
    start_worker(app=APP)
    producer.push("redis_time", id="in-time", expires_at=began + 60_000)
    producer.push("redis_time", id="too-late", expires_at=began - 1)
    producer.push("no_such_handler", id="fails", attempts=4)
    r.zadd("{jobs}:scheduled", {job("redis_time", id="due"): began + 1500})
    producer.push("retry_once", 0.5, id="retried")
    run_command("push", "redis_time", "--delay", "0.5", "--id", "pushed")

    found = {id: producer.result(id) for id in ("in-time", "too-late", "fails", "due", "pushed")}
    ended = now(r)
    assert {id: fields["status"] for id, fields in found.items()} == {
        "in-time": "succeeded",
        "too-late": "expired",
        "fails": "failed",
        "due": "succeeded",
        "pushed": "succeeded",
    }
    times = [producer.dead()[0]["died_at"], found["pushed"]["enqueued_at"]]
    times += [fields["finished_at"] for fields in found.values()]
    times += [found[id]["started_at"] for id in ("in-time", "due", "pushed")]
    assert all(began - 1000 <= ms <= ended + 1000 for ms in times)
    assert began + 1500 <= found["due"]["result"] <= began + 1500 + LATEST + 3 * 1000 * tolerance()
    assert found["pushed"]["result"] - found["pushed"]["enqueued_at"] >= 500
    first, second = producer.result("retried")["result"]
    assert 500 <= second - first <= 500 + LATEST + 1000 * tolerance()
    ((_, lease),) = r.zrange("{jobs}:workers", 0, -1, withscores=True)
    assert now(r) < lease <= now(r) + 15_000
