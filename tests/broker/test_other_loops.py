"""Handlers that use the process's clients in another event loop: refused, and harmless."""

from collections.abc import Iterator
from decimal import Decimal

import pytest

from tests.apps.other_loops import RIGHT, WRONG
from tests.support.waiting import wait_until
from tests.support.worker_process import Shared

APP = "tests.apps.other_loops:app"
SETTINGS = {"max_attempts": 1, "config_ttl": 0}
TROUBLE = ("Redis is away", "Event loop is closed", "Traceback", "can't be read", "never awaited")


@pytest.fixture
def opened(shared: Shared) -> Iterator[Shared]:
    """The module's worker, with clients that a handler has opened in its loop."""
    shared.table.put("key", n=1)
    shared.r.set("key", "value")
    assert shared.producer.run("opens")["status"] == "succeeded"
    yield shared
    closed = shared.producer.run("closes")
    assert closed["status"] == "succeeded", closed["error"]


@pytest.mark.parametrize("handler", ["does_wrong", "does_wrong_in_a_thread"])
def test_a_client_in_another_loop_says_what_to_do_instead(opened: Shared, handler: str) -> None:
    ids = {way: opened.producer.push(handler, way) for way in WRONG}
    for way, job_id in ids.items():
        result = opened.producer.result(job_id)
        assert result["status"] == "failed", way
        error = result["error"]
        assert error["type"] == "NotOpen", (way, error)
        expected = "open already" if way == "open all again" else "from_thread.run"
        assert expected in error["message"], way


def test_what_was_refused_leaves_the_worker_as_it_was(opened: Shared) -> None:
    for _ in range(5):
        ids = [opened.producer.push("does_wrong", way) for way in WRONG]
        ids += [opened.producer.push("echo", "fine") for _ in range(50)]
        results = [opened.producer.result(job_id) for job_id in ids]
        assert [result["status"] for result in results[len(WRONG) :]] == ["succeeded"] * 50
    assert not [trouble for trouble in TROUBLE if trouble in opened.worker.log]


@pytest.mark.parametrize("way", RIGHT)
def test_the_documented_ways_work_in_a_plain_handler(opened: Shared, way: str) -> None:
    result = opened.producer.run("does_right", way)
    assert result["status"] == "succeeded", result["error"]
    expected = {
        "config": {"key": "key", "n": 1},
        "function": {"key": "key", "n": 1},
        "threadsafe": {"key": "key", "n": 1},
        "redis": "value",
        "dynamo": {"N": "1"},
        "client": 32,
        "client of its own": "hello",
    }
    assert result["result"] == expected[way]


def test_a_time_limit_ends_what_a_thread_waits_for_in_the_workers_loop(shared: Shared) -> None:
    shared.table.put("hurry", policy={"timeout": Decimal("0.2")})
    result = shared.producer.run("waits", 30, config="hurry")
    assert (result["status"], result["error"]["type"]) == ("failed", "Timeout")
    assert shared.producer.run("echo", 1)["status"] == "succeeded"


def test_a_handler_that_closes_the_shared_client_cuts_nobody_off(shared: Shared) -> None:
    waiting = [shared.producer.push("blocks", f"list-{n}") for n in range(5)]
    wait_until(lambda: shared.r.info("clients")["blocked_clients"] >= 5)
    for _ in range(3):
        assert shared.producer.run("closes_the_shared_client")["status"] == "succeeded"
    for n in range(5):
        shared.r.rpush(f"list-{n}", "end")
    assert {shared.producer.result(job_id)["status"] for job_id in waiting} == {"succeeded"}
