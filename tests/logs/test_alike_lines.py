"""Many log lines that are alike become one with a count."""

import asyncio
import json
import logging
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import redis

from tests.execution.pipeline import Harness
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker
from worker import App
from worker.runtime.alike_lines import SHOWN, AlikeLines, counting_alike

pytestmark = pytest.mark.once

log = logging.getLogger("worker")
APP = """
from worker import App
app = App()

@app.handler
async def resize(payload):
    raise KeyError(payload)

@app.handler
async def other(payload):
    if payload % 2:
        raise ValueError(payload)
    raise TypeError(payload)
"""


@pytest.fixture
def alike(caplog: pytest.LogCaptureFixture) -> Iterator[AlikeLines]:
    caplog.set_level(logging.DEBUG, logger="worker")
    with counting_alike() as lines:
        yield lines


def fail(number: int, handler: str = "resize", cause: str = "KeyError") -> None:
    extra = {"event": "job_retried", "handler": handler, "cause": cause, "job": str(number)}
    log.warning("Job %d failed.", number, extra=extra)


def test_the_first_are_written_and_the_rest_counted(
    alike: AlikeLines, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(1_000):
        fail(number)
    assert caplog.messages == [f"Job {number} failed." for number in range(SHOWN)]
    caplog.clear()
    before = time.time()
    alike.flush()
    (message,) = caplog.messages
    assert caplog.records[0].created >= before, "lines stay in the order of their times"
    assert message.startswith(f"Job {SHOWN} failed. And {999 - SHOWN} more like it in the last ")
    record = caplog.records[0]
    assert (record.levelname, vars(record)["event"]) == ("WARNING", "job_retried")
    assert vars(record)["job"] == str(SHOWN)


def test_one_more_than_is_shown_is_written_as_it_is(
    alike: AlikeLines, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(SHOWN + 1):
        fail(number)
    alike.flush()
    assert caplog.messages == [f"Job {number} failed." for number in range(SHOWN + 1)]


def test_after_a_flush_it_begins_again(alike: AlikeLines, caplog: pytest.LogCaptureFixture) -> None:
    for number in range(SHOWN):
        fail(number)
    alike.flush()
    fail(99)
    alike.flush()
    assert caplog.messages[-1] == "Job 99 failed."
    assert len(caplog.messages) == SHOWN + 1


def test_other_handlers_causes_and_lines_without_an_event_are_not_alike(
    alike: AlikeLines, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(SHOWN):
        fail(number)
    fail(1, handler="other")
    fail(1, cause="ValueError")
    for _ in range(100):
        log.debug("detail")
    assert len(caplog.messages) == SHOWN + 102


def test_names_that_producers_choose_do_not_make_lines_without_end(
    alike: AlikeLines, caplog: pytest.LogCaptureFixture
) -> None:
    for number in range(10_000):
        fail(number, handler=f"no_such_handler_{number}")
    alike.flush()
    assert len(caplog.messages) < 100
    assert "9,94" in caplog.messages[-1]


def test_what_differs_only_in_its_config_or_its_size_is_alike(
    caplog: pytest.LogCaptureFixture,
) -> None:
    app = App()

    @app.handler(max_attempts=1)
    async def grow(payload: int) -> str:
        return "x" * payload

    async def main() -> None:
        harness = Harness(app, {"grow": {}})
        for number in range(4):
            await harness.run("grow", config=f"tenant-{number}")
            await harness.run("grow", 1_000_000 + number)

    asyncio.run(main())
    kinds = [(rec["event"], rec["handler"], rec["cause"]) for rec in map(vars, caplog.records)]
    assert len(kinds) == 8
    assert set(kinds) == {
        ("job_buried", "grow", "config_missing ConfigMissing"),
        ("job_buried", "grow", "result_too_large ResultTooLarge"),
    }
    assert "there is no config 'tenant-3' in the table" in caplog.text


def test_a_flood_of_failures_is_a_few_lines_with_their_cause(
    start_worker: StartWorker, r: redis.Redis, tmp_path: Path
) -> None:
    (tmp_path / "flooded.py").write_text(APP)
    worker = start_worker(app="flooded:app", max_attempts=2, backoff_base=0, backoff_max=0)
    r.lpush("jobs", *(json.dumps({"id": str(n), "handler": "resize"}) for n in range(1_000)))
    r.lpush(
        "jobs", *(json.dumps({"id": f"o{n}", "handler": "other", "payload": n}) for n in (1, 2))
    )
    wait_until(lambda: r.llen("{jobs}:dead") == 1_002)
    assert worker.stop() == 0
    lines = [line for line in worker.log.splitlines() if "(" in line and "Job '" in line]
    assert len(lines) == 2 * (SHOWN + 1) + 4
    retried = [line for line in lines if "failed attempt 1 of 2" in line and "'resize'" in line]
    assert len(retried) == SHOWN + 1
    assert all("(KeyError at flooded.py:7 in resize)" in line for line in retried)
    assert f"And {999 - SHOWN} more like it in the last" in retried[-1]
    assert "(ValueError at flooded.py:12 in other)" in worker.log
    assert "(TypeError at flooded.py:13 in other)" in worker.log
