"""Errors are seen: in the log by class and place, on the waiting job with their message."""

import json
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.producer import Producer
from tests.support.waiting import wait_until
from tests.support.worker_process import RunCommand, StartWorker

pytestmark = pytest.mark.once

APP = """
import asyncio
import json
from worker import App, Reject, Retry
app = App()

@app.handler
async def parse(payload):
    return json.loads(payload)

@app.handler
def plain(payload):
    helper(payload)

def helper(payload):
    raise LookupError("SECRET" + payload)

@app.handler
async def rejects(payload):
    raise Reject("SECRET")

@app.handler
async def retries(payload):
    raise Retry("SECRET", delay=60)

@app.handler(timeout=0.1)
async def slow(payload):
    await asyncio.sleep(60)

@app.handler
async def gathers(payload):
    async with asyncio.TaskGroup() as group:
        group.create_task(fails())

async def fails():
    raise OSError("SECRET")
"""
PLACES = {
    "parse": "(JSONDecodeError at failing.py:9 in parse)",
    "plain": "(LookupError at failing.py:16 in helper)",
    "retries": "(Retry at failing.py:24 in retries)",
    "slow": "(Timeout at failing.py:28 in slow: the job ran longer than its time limit of 0.1 s)",
    "gathers": "(ExceptionGroup of OSError at failing.py:36 in fails)",
    "missing": "(UnknownHandler: this worker has no handler 'missing'; it has: ",
}


@pytest.fixture
def app(tmp_path: Path) -> str:
    (tmp_path / "failing.py").write_text(APP)
    return "failing:app"


def scheduled(r: redis.Redis) -> dict[str, Any]:
    """The jobs that wait, by id."""
    raws: Any = r.zrange("{jobs}:scheduled", 0, -1)
    jobs = [json.loads(raw) for raw in raws]
    return {job["id"]: job for job in jobs}


def test_each_failed_attempt_says_where_and_the_job_keeps_its_error(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, app: str
) -> None:
    worker = start_worker(app=app, backoff_base=60)
    before = time.time() * 1000
    for handler in PLACES:
        producer.push(handler, "SECRET{" * 100, id=handler)
    producer.push("rejects", id="rejects")
    producer.push("plain", id="no-config", config="no-config")
    wait_until(lambda: len(scheduled(r)) == len(PLACES) and r.llen("{jobs}:dead") == 2)
    assert worker.stop() == 0
    for handler, place in PLACES.items():
        assert f"Job {handler!r} ({handler!r}) failed attempt 1 of 5 {place}" in worker.log
    assert "is buried: rejected (Reject at failing.py:20 in rejects)" in worker.log
    assert (
        "is buried: config_missing (ConfigMissing: there is no config 'no-config' in the table)"
        in worker.log
    )
    assert "SECRET" not in worker.log
    errors = {id: job["last_error"] for id, job in scheduled(r).items()}
    assert {error["type"] for error in errors.values()} == {
        *("JSONDecodeError", "LookupError", "Retry", "Timeout", "ExceptionGroup", "UnknownHandler")
    }
    assert errors["plain"]["message"] == "SECRET" + ("SECRET{" * 100)[:293] + "…"
    assert len(errors["plain"]["message"]) == 300
    times = [error["at"] for error in errors.values()]
    assert before - 1_000 < min(times) <= max(times) < time.time() * 1000 + 1_000


def test_full_logs_messages_and_tracebacks(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, app: str
) -> None:
    worker = start_worker(app=app, log_errors="full", max_attempts=1)
    for handler in ("plain", "rejects", "slow"):
        producer.push(handler, "\x1b!", id=handler)
    wait_until(lambda: r.llen("{jobs}:dead") == 3)
    assert worker.stop() == 0
    assert 'failing.py", line 16, in helper' in worker.log
    assert r"LookupError: SECRET\x1b!" in worker.log
    assert "Reject: SECRET" in worker.log
    assert "\x1b" not in worker.log
    assert "worker/execution/pipeline.py" not in worker.log


def test_the_error_goes_with_the_job_and_the_next_attempt_replaces_it(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, app: str
) -> None:
    start_worker(app=app, backoff_base=0.01, backoff_max=0.01, max_attempts=3)
    producer.push("plain", "x", id="x")
    wait_until(lambda: r.llen("{jobs}:dead"))
    (entry,) = producer.dead()
    job = json.loads(entry["job"])
    assert (job["attempts"], job["last_error"]["message"]) == (2, "SECRETx")
    assert list(job)[-1] == "attempts"


@pytest.mark.parametrize("flags", [[], ["--processes", "2"]])
def test_an_import_error_shows_the_user_s_frames_first(
    run_command: RunCommand, tmp_path: Path, flags: list[str]
) -> None:
    (tmp_path / "outer_module.py").write_text("def load():\n    import inner_module\nload()\n")
    (tmp_path / "inner_module.py").write_text("import json\njson.loads('{')\n")
    done = run_command("run", "outer_module:app", *flags)
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if "pid" not in line]
    assert lines[0] == "Traceback (most recent call last):"
    assert 'outer_module.py", line 3, in <module>' in lines[1]
    assert 'inner_module.py", line 2, in <module>' in done.stderr
    assert "importlib" not in done.stderr
    assert "loading.py" not in done.stderr
    assert "worker: importing 'outer_module' failed: JSONDecodeError" in lines[-1]
    assert "(inner_module.py, line 2)" in lines[-1]


@pytest.mark.parametrize("target", ["no_such:app", "outer:app:x", "exits:app"])
def test_where_the_message_says_it_all_there_is_no_traceback(
    run_command: RunCommand, tmp_path: Path, target: str
) -> None:
    (tmp_path / "exits.py").write_text("import sys\nsys.exit(3)\n")
    assert "Traceback" not in run_command("run", target).stderr


def test_a_syntax_error_is_shown_with_its_line(run_command: RunCommand, tmp_path: Path) -> None:
    (tmp_path / "unclosed.py").write_text("app = (\n")
    done = run_command("run", "unclosed:app")
    assert "    app = (\n" in done.stderr
    assert "SyntaxError: '(' was never closed" in done.stderr
    assert "importlib" not in done.stderr
