"""Middleware and `on_error` in a real worker, Sentry among them."""

import json
from typing import Any

import pytest
import redis

from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.callbacks:app"


def noted(r: redis.Redis, kind: str) -> list[Any]:
    return [json.loads(line) for line in r.lrange(kind, 0, -1)]


def test_middleware_wraps_each_call_with_what_it_asks_for(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    table.put("acme", version=7)
    start_worker(app=APP)
    job = producer.push("echo", 5, config="acme")
    result = producer.result(job)
    assert result["result"] == {"value": 5}
    assert result["config"]["version"] == 7
    assert noted(r, "middleware") == [["begins", job, 7, "the pool"], ["ends", job]]


def test_middleware_may_reject_and_retry(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    table.put("gone", closed=True)
    table.put("paused", paused=True, policy={"max_attempts": 2})
    start_worker(app=APP)
    rejected = producer.result(producer.push("echo", 5, config="gone"))
    assert rejected["error"]["type"] == "Reject"
    paused = producer.result(producer.push("echo", 5, config="paused"))
    assert (paused["error"]["type"], paused["attempts"]) == ("Retry", 2)
    wait_until(lambda: len(noted(r, "errors")) == 2)
    assert [fact[0] for fact in noted(r, "errors")] == ["Reject", "Retry"]


def test_on_error_is_called_for_every_way_to_fail_and_changes_nothing(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    table.put("wide", width="wide")
    table.put("ok", width=1)
    worker = start_worker(app=APP, max_attempts=1, config_invalid="bury")
    failing = {
        "ValueError": producer.push("fails", "why"),
        "Reject": producer.push("rejects", "why"),
        "PayloadInvalid": producer.push("typed", {"width": "x"}, config="ok"),
        "ConfigInvalid": producer.push("typed", {"width": 1}, config="wide"),
        "ConfigMissing": producer.push("typed", {"width": 1}, config="absent"),
        "ResultInvalid": producer.push("has_no_json"),
        "Timeout": producer.push("hangs"),
        "UnknownHandler": producer.push("nobody"),
    }
    for kind, job in failing.items():
        assert producer.result(job)["error"]["type"] == kind
    wait_until(lambda: len(noted(r, "errors")) == len(failing) + 1)
    seen = noted(r, "errors")
    for kind, job in failing.items():
        fates = [[attempt, fate] for *fact, attempt, fate, _ in seen if fact == [kind, job]]
        retried = [[1, "retried"]] if kind == "ValueError" else []
        assert fates == [*retried, [len(retried) + 1, "buried"]]
    assert {state for *_, state in seen} == {"the pool"}
    assert worker.log.count("on_error 'broken' failed: RuntimeError at ") == 1
    assert "on_error itself fails" not in worker.log
    assert producer.run("echo", 1)["result"] == {"value": 1}
    assert worker.stop() == 0


def test_a_job_that_kills_its_workers_is_reported_where_it_is_buried(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    job = producer.push("kills_its_worker")
    settings = {"app": APP, "lease": 0.6, "max_crashes": 2}
    for _ in range(2):
        assert start_worker(ready=False, **settings).wait() == -9
    assert noted(r, "errors") == []
    worker = start_worker(**settings)
    assert producer.dead_entry(job)["reason"] == "crashed"
    wait_until(lambda: noted(r, "errors"))
    assert noted(r, "errors") == [["Crashed", job, 1, "buried", "the pool"]]
    assert worker.stop() == 0


def test_what_is_being_reported_is_waited_for_at_the_end(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = [producer.push("rejects", "why") for _ in range(200)]
    worker = start_worker("--burst", app=APP, ready=False)
    assert worker.wait() == 0
    assert {fact[1] for fact in noted(r, "errors")} == set(ids)


def test_sentry_gets_the_handlers_exception_with_its_tags(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    worker = start_worker(app="tests.apps.with_sentry:app")
    failed = producer.push("divide", 0)
    wait_until(lambda: r.llen("sentry") == 1)
    event = noted(r, "sentry")[0]
    (value,) = event["exception"]["values"]
    assert value["type"] == "ZeroDivisionError"
    assert value["stacktrace"]["frames"][-1]["function"] == "divide"
    assert event["tags"] == {
        "job": failed,
        "handler": "divide",
        "fate": "buried",
    }
    invalid = producer.push("typed", "x")
    wait_until(lambda: r.llen("sentry") == 2)
    event = noted(r, "sentry")[1]
    assert event["exception"]["values"][0]["type"] == "PayloadInvalid"
    assert event["tags"] == {"job": invalid, "handler": "typed", "fate": "buried"}
    assert worker.stop() == 0
