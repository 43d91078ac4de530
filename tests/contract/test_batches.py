"""Batches, a handler's own limit, included handlers and declared results, in a real worker."""

import json
import signal
import time

import pytest
import redis

from tests.support.producer import Producer, job
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.batches:app"


def push_many(producer: Producer, handler: str, payloads: list[object]) -> list[str]:
    ids = [f"{handler}-{at}" for at in range(len(payloads))]
    producer.push_raw(*(job(handler, p, id=id) for id, p in zip(ids, payloads, strict=True)))
    return ids


def calls(r: redis.Redis) -> list[int]:
    return [int(length) for length in r.lrange("calls", 0, -1)]


def test_jobs_go_by_the_hundred_and_each_gets_its_own_result(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = push_many(producer, "insert", [{"n": n} for n in range(250)])
    start_worker(app=APP)
    assert [producer.result(id)["result"] for id in ids] == [{"n": n} for n in range(250)]
    assert sum(calls(r)) == 250
    assert max(calls(r)) <= 100
    assert len(calls(r)) <= 10  # 100 slots, and a linger of 0.2 s: not a call for each


def test_one_item_of_a_batch_is_retried_and_another_buried(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    fates = ["fine", "retry", "reject"]
    payloads = [{"n": n, "fate": fate} for n, fate in enumerate(fates)]
    ids = push_many(producer, "insert", [*payloads, {"n": "x"}])
    start_worker(app=APP)
    results = [producer.result(id) for id in ids]
    assert [result["status"] for result in results] == ["succeeded"] * 2 + ["failed"] * 2
    assert [result["attempts"] for result in results] == [1, 2, 1, 0]
    reasons = {json.loads(entry["job"])["id"]: entry["reason"] for entry in producer.dead()}
    assert reasons == {ids[2]: "rejected", ids[3]: "payload_invalid"}


def test_what_lingers_when_the_worker_is_stopped_goes_back_in_its_order(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = push_many(producer, "linger", [1, 2, 3])
    worker = start_worker(app=APP)
    wait_until(lambda: len(producer.active()) == 3)
    began = time.monotonic()
    assert worker.stop() == 0
    assert time.monotonic() - began < 10
    pending = [json.loads(raw) for raw in r.lrange("jobs", 0, -1)]
    assert [job["id"] for job in reversed(pending)] == ids
    assert not any("attempts" in job or "crashes" in job for job in pending)
    assert calls(r) == []


def test_a_call_gets_the_grace_period(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = push_many(producer, "slow", [0.5, 0.1])
    worker = start_worker(app=APP)
    wait_until(lambda: calls(r))
    assert worker.stop() == 0
    assert [producer.result(id, 0)["result"] for id in ids] == [0.5, 0.1]


def test_a_batch_of_a_killed_worker_comes_back(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = push_many(producer, "slow", [1, 1])
    worker = start_worker(app=APP, lease=1)
    wait_until(lambda: calls(r))
    worker.signal(signal.SIGKILL)
    start_worker(app=APP, lease=1)
    assert [producer.result(id)["result"] for id in ids] == [1, 1]


def test_jobs_of_a_call_over_its_time_limit_have_failed_an_attempt(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = push_many(producer, "slow", [60, 0])
    start_worker(app=APP, timeout=0.3)
    errors = [producer.result(id)["error"]["type"] for id in ids]
    assert errors == ["Timeout", "Timeout"]
    assert calls(r) == [2]


def test_a_limit_of_two_threads_stops_no_other_handler(
    start_worker: StartWorker, producer: Producer
) -> None:
    ids = push_many(producer, "limited", [0.3] * 6)
    start_worker(app=APP)
    assert producer.run("typed", {"n": 1})["result"] == {"n": 1, "fate": "fine"}
    spans = [producer.result(id)["result"] for id in ids]
    for began, _ in spans:
        assert sum(other <= began < ended for other, ended in spans) <= 2


def test_a_wrong_return_is_an_invalid_result(start_worker: StartWorker, producer: Producer) -> None:
    start_worker(app=APP)
    result = producer.run("typed", {"n": "many"})
    assert result["error"]["type"] == "ResultInvalid"
    assert "n: Input should be a valid integer" in result["error"]["message"]
    assert producer.dead()[0]["reason"] == "result_invalid"
