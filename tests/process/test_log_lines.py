"""What producers and handlers choose can neither move the cursor of who reads the log, nor pass for
a line of it.
"""

import json
import logging
import re
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker
from worker.runtime.log_lines import LineFormatter

pytestmark = pytest.mark.once

APP = """
import logging
from worker import App
app = App()

@app.handler("bad\\x1b[2Jname")
async def bad(payload):
    raise ValueError("no")

@app.handler
async def slow(payload):
    import time
    time.sleep(2)

@app.handler
async def talk(payload):
    logging.getLogger("users").warning("\\x1b[31mred\\x1b[0m\\nsecond line")
"""
FORGED = "1\x1b[2J\x07\u202e\r\n2026-01-01 00:00:00,000 ERROR   forged"


def test_control_characters_of_ids_and_names_are_escaped(
    start_worker: StartWorker, tmp_path: Path, r: redis.Redis
) -> None:
    (tmp_path / "odd_names.py").write_text(APP)
    worker = start_worker(app="odd_names:app", log_level="DEBUG", max_attempts=1)
    for handler in ("bad\x1b[2Jname", "no\x1bsuch\nhandler", "slow", "talk"):
        r.lpush("jobs", json.dumps({"id": FORGED + handler, "handler": handler}))
    r.lpush("jobs", json.dumps({"id": FORGED, "handler": "slow", "config": "\x1b[2J\nforged"}))
    wait_until(lambda: r.llen("jobs") == 0 and r.exists(f"{{jobs}}:result:{FORGED}slow"))
    assert worker.stop() == 0
    users = "\x1b[31mred\x1b[0m\nsecond line"
    assert users in worker.log, "what users log stays as it is"
    ours = worker.log.replace(users, "")
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f\u202e]", ours)
    assert not re.search(r"^2026-01-01", ours, re.MULTILINE)
    assert r"bad\x1b[2Jname" in ours


def test_the_lines_of_a_stack_are_kept_and_indented() -> None:
    try:
        int("one\ntwo\x1b")
    except ValueError as error:
        record = logging.LogRecord(
            "worker.config", 40, "", 0, "%s", ("a\nb",), (type(error), error, error.__traceback__)
        )
    lines = LineFormatter("%(levelname)s %(message)s").format(record).split("\n")
    assert lines[:3] == ["ERROR a", "    b", "    Traceback (most recent call last):"]
    assert r"one\ntwo\x1b" in lines[-1]


@pytest.mark.parametrize("name", ["workers", "worker_app", "users.worker"])
def test_other_loggers_are_left_alone(name: Any) -> None:
    record = logging.LogRecord(name, 40, "", 0, "\x1b[1m\n", (), None)
    assert LineFormatter("%(message)s").format(record) == "\x1b[1m\n"
