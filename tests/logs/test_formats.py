"""The log's forms at the edge, and what it says of records that handlers make."""

import json
import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker, Worker
from worker.runtime.log_lines import JsonFormatter, records_have

pytestmark = pytest.mark.once

APP = """
import asyncio
import logging
import logging.config
import threading
from worker import App

CONFIG
log = logging.getLogger("users")
app = App()

@app.handler
async def talk(payload):
    log.info("in the handler")
    await asyncio.gather(asyncio.create_task(inner()), asyncio.to_thread(log.info, "in a thread"))
    logging.getLogger("lib.of.others").warning("by a library")
    log.info("with its own", extra={"job": "mine", "handler": "mine too"})

async def inner():
    log.info("in a task")

@app.handler
def plain(payload):
    log.info("in a plain handler")

@app.handler
async def bad(payload):
    raise ValueError(payload)

log.info("imported")
"""
RFC_3339_IN_MS = r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z"


@pytest.fixture
def app(tmp_path: Path) -> str:
    return write(tmp_path, "")


def write(folder: Path, config: str, name: str = "talking") -> str:
    (folder / f"{name}.py").write_text(APP.replace("CONFIG", config))
    return f"{name}:app"


def json_lines(worker: Worker) -> list[dict[str, Any]]:
    return [json.loads(line) for line in worker.log.splitlines()]


def said(lines: list[dict[str, Any]], message: str) -> dict[str, Any]:
    (line,) = [line for line in lines if line["message"] == message]
    return line


# -- JSON ------------------------------------------------------------------------------------------


def test_json_lines_have_the_fields_of_their_job_wherever_they_are_made(
    start_worker: StartWorker, producer: Producer, table: Table, app: str
) -> None:
    table.put("acme", size=1)
    worker = start_worker(app=app, log_format="json")
    producer.push("talk", id="one", config="acme")
    producer.push("plain", id="two")
    for id in ("one", "two"):
        assert producer.result(id)["status"] == "succeeded"
    assert worker.stop() == 0
    lines = json_lines(worker)
    started = next(line for line in lines if line.get("event") == "started")
    job = {"job": "one", "handler": "talk", "queue": "jobs", "attempt": 1, "config": "acme"}
    job["worker"] = started["worker"]
    for message in ("in the handler", "in a task", "in a thread"):
        line = said(lines, message)
        assert re.fullmatch(RFC_3339_IN_MS, line.pop("time"))
        assert line == {"level": "INFO", "logger": "users", "message": message, **job}
    assert said(lines, "by a library")["logger"] == "lib.of.others"
    assert said(lines, "by a library")["job"] == "one"
    assert said(lines, "in a plain handler")["job"] == "two"
    assert said(lines, "in a plain handler")["config"] == "plain"
    own = said(lines, "with its own")
    assert (own["job"], own["handler"], own["queue"]) == ("mine", "mine too", "jobs")
    assert "job" not in said(lines, "imported")
    assert [line["event"] for line in lines if line["logger"] == "worker"] == [
        *("started", "stopping", "stopped")
    ]


def test_a_failure_in_json_has_its_event_and_its_job(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, app: str
) -> None:
    worker = start_worker(app=app, log_format="json", max_attempts=2, backoff_base=0)
    producer.push("bad", "\x7f\u202e\nsecret", id="\x1b[2J\u202e\x7f")
    wait_until(lambda: r.llen("{jobs}:dead"))
    r.lpush("jobs", b"no job")
    wait_until(lambda: r.llen("{jobs}:dead") == 2)
    assert worker.stop() == 0
    assert re.fullmatch(r"[\x0a\x20-\x7e]*", worker.log)
    assert "secret" not in worker.log
    retried, buried, malformed = [line for line in json_lines(worker) if line["level"] != "INFO"]
    assert (retried["event"], retried["level"], retried["attempt"]) == ("job_retried", "WARNING", 1)
    assert (buried["event"], buried["level"], buried["attempt"]) == ("job_buried", "ERROR", 2)
    assert retried["job"] == buried["job"] == "\x1b[2J\u202e\x7f"
    assert "(ValueError at talking.py:28 in bad)" in retried["message"]
    assert malformed["event"] == "job_buried"
    assert "job" not in malformed


def test_the_supervisor_s_lines_have_the_same_form(start_worker: StartWorker, app: str) -> None:
    worker = start_worker("--processes", "2", app=app, log_format="json")
    wait_until(lambda: worker.log.count('"event": "started"') == 2)
    assert worker.stop() == 0
    events = [line.get("event") for line in json_lines(worker)]
    assert events.count("process_started") == events.count("stopped") == 2
    assert events.count("stopping") == 3, "its own, and one of each process"


def test_a_start_that_fails_is_one_json_line(start_worker: StartWorker, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("\nimport json\njson.loads('{')")
    worker = start_worker(app="broken:app", log_format="json", ready=False)
    assert worker.wait() == 1
    (line,) = json_lines(worker)
    assert (line["event"], line["level"]) == ("start_failed", "ERROR")
    assert 'broken.py", line 3' in line["message"]


def test_odd_records_become_json() -> None:
    record = logging.makeLogRecord(
        {"msg": "%s \ud800", "args": ("\x00",), "created": 0.0019, "levelname": "INFO", "name": "n"}
        | {"job": object(), "queue": "\udfff", "attempt": None}
    )
    line = json.loads(JsonFormatter().format(record))
    assert line.pop("job").startswith("<object object")
    assert line == {
        "time": "1970-01-01T00:00:00.001Z",
        "level": "INFO",
        "logger": "n",
        "message": "\x00 \\ud800",
        "queue": "\\udfff",
    }


def test_a_traceback_is_part_of_the_message() -> None:
    try:
        raise ValueError("first\nsecond")  # noqa: TRY301
    except ValueError as error:
        info = (type(error), error, error.__traceback__)
    record = logging.makeLogRecord({"msg": "failed", "exc_info": info})
    text = JsonFormatter().format(record)
    assert "\n" not in text
    message = json.loads(text)["message"]
    assert message.startswith("failed\nTraceback (most recent call last):")
    assert message.endswith("ValueError: first\nsecond")


def test_times_are_utc() -> None:
    created = datetime(2026, 7, 1, 12, 0, 0, 999_999, tzinfo=UTC).timestamp()
    line = json.loads(JsonFormatter().format(logging.makeLogRecord({"created": created})))
    assert line["time"] == "2026-07-01T12:00:00.999Z"


# -- the user's own logging ------------------------------------------------------------------------

TO_FILE = """
logging.config.dictConfig({
    "version": 1,
    "formatters": {"mine": {"format": "MINE %(levelname)s %(name)s %(message)s"}},
    "handlers": {"mine": {"class": "logging.StreamHandler", "formatter": "mine"}},
    "root": {"handlers": ["mine"], "level": "WARNING"},
})
"""


def test_dict_config_with_its_defaults_does_not_silence_the_worker(
    start_worker: StartWorker, producer: Producer, tmp_path: Path
) -> None:
    worker = start_worker(app=write(tmp_path, TO_FILE, "configured"), max_attempts=1)
    producer.push("bad", id="x")
    producer.push("talk", id="y")
    assert producer.result("x")["status"] == "failed"
    assert producer.result("y")["status"] == "succeeded"
    assert worker.stop() == 0
    assert "MINE ERROR worker Job 'x' ('bad') is buried" in worker.log
    assert "MINE INFO worker Worker " in worker.log
    assert "MINE WARNING lib.of.others by a library" in worker.log
    assert "in the handler" not in worker.log, "the user's level holds for the user's lines"
    assert worker.log.count("is buried") == 1


IN_LIFESPAN = """
from contextlib import asynccontextmanager

@asynccontextmanager
async def lifespan(app):
    logging.config.dictConfig({
        "version": 1,
        "formatters": {"mine": {"format": "MINE %(name)s job=%(job)s %(event)s %(message)s"}},
        "handlers": {"mine": {"class": "logging.StreamHandler", "formatter": "mine"}},
        "root": {"handlers": ["mine"], "level": "INFO"},
    })
    if FAILS:
        raise RuntimeError("no pool")
    yield

def App(App=App):
    return App(lifespan=lifespan)
"""


def test_dict_config_in_the_lifespan_neither_and_its_format_may_name_a_field_in_every_line(
    start_worker: StartWorker, producer: Producer, tmp_path: Path
) -> None:
    app = write(tmp_path, IN_LIFESPAN.replace("FAILS", "False"), "in_lifespan")
    worker = start_worker(app=app)
    producer.push("talk", id="x")
    assert producer.result("x")["status"] == "succeeded"
    assert worker.stop() == 0
    assert "MINE worker job=None started Worker " in worker.log
    assert "MINE lib.of.others job=x None by a library" in worker.log
    assert "MINE worker job=None stopped Worker " in worker.log
    assert "Logging error" not in worker.log


def test_a_lifespan_that_configures_logging_and_fails_is_seen(
    start_worker: StartWorker, tmp_path: Path
) -> None:
    app = write(tmp_path, IN_LIFESPAN.replace("FAILS", "True"), "in_lifespan")
    worker = start_worker(app=app, ready=False)
    assert worker.wait() == 1
    assert "MINE worker job=None lifespan_failed The app's lifespan failed" in worker.log
    assert "RuntimeError: no pool" in worker.log


WITH_FIELDS = """
class Named(logging.Formatter):
    def format(self, record):
        fields = {name: record.__dict__.get(name) for name in ("job", "attempt", "queue")}
        return f"{record.name} {record.getMessage()} {fields}"
handler = logging.StreamHandler()
handler.setFormatter(Named())
logging.basicConfig(level="INFO", handlers=[handler])
"""


def test_none_configures_nothing_and_records_still_name_their_job(
    start_worker: StartWorker, producer: Producer, tmp_path: Path
) -> None:
    app = write(tmp_path, WITH_FIELDS, "own")
    worker = start_worker(app=app, log_format="none", log_level="ERROR")
    producer.push("talk", id="x")
    assert producer.result("x")["status"] == "succeeded"
    assert worker.stop() == 0
    assert "users in a task {'job': 'x', 'attempt': 1, 'queue': 'jobs'}" in worker.log
    assert "worker Worker " in worker.log, "the user's level holds"
    assert not re.search(r"^\d{4}-", worker.log, re.MULTILINE)


def test_a_format_that_is_none_of_them_is_refused(run_command: Any, app: str) -> None:
    done = run_command("run", app, log_format="xml", log_errors="some")
    assert done.returncode == 1
    assert "WORKER_LOG_FORMAT: must be text, json or none" in done.stderr
    assert "WORKER_LOG_ERRORS: must be place or full" in done.stderr


def test_another_library_s_wrapper_of_make_record_stays() -> None:
    before = logging.Logger.makeRecord
    with records_have(lambda: {"job": "x"}):
        ours = logging.Logger.makeRecord

        def theirs(*args: Any, **kwargs: Any) -> logging.LogRecord:
            return ours(*args, **kwargs)

        logging.Logger.makeRecord = theirs  # type: ignore[method-assign]
        assert made().job == "x"
    try:
        assert logging.Logger.makeRecord is theirs
        assert not hasattr(made(), "job")
    finally:
        logging.Logger.makeRecord = before  # type: ignore[method-assign]


def made() -> Any:
    return logging.getLogger("n").makeRecord("n", 20, "f", 1, "m", (), None)
