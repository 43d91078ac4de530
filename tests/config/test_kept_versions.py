"""An edit that can't be used breaks nothing: a worker, its table and what operators see."""

import json
import time
from typing import Any

import pytest

from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.config:app"
IN_PROCESS = True
SECRET = "hunter2"


@pytest.mark.parametrize(
    ("bad", "where"),
    [({"a": SECRET}, "a: "), ({"a": 1, "policy": {"timeout": SECRET}}, "policy.timeout: ")],
)
def test_the_last_version_that_worked_serves_on_until_a_later_one_works(
    start_worker: StartWorker, producer: Producer, table: Table, bad: dict[str, Any], where: str
) -> None:
    table.put("acme", a=1, version=1)
    worker = start_worker(app=APP, config_ttl=0.2, config_max_stale=0)
    assert producer.run("typed", config="acme")["result"] == 1
    table.put("acme", **bad)
    wait_until(lambda: producer.run("typed", config="acme")["config"]["stale"])
    for _ in range(5):
        result = producer.run("typed", config="acme")
        assert (result["status"], result["result"], result["attempts"]) == ("succeeded", 1, 1)
        assert result["config"] == {"key": "acme", "version": 1, "stale": True}
    table.put("acme", a=2, version=2)
    wait_until(lambda: producer.run("typed", config="acme")["result"] == 2)
    assert producer.dead() == []
    (error,) = [line for line in worker.log.splitlines() if "can't be used" in line]
    assert "ERROR" in error
    assert "'acme'" in error
    assert where in error
    assert "worker config edit" in error
    assert worker.log.count("can be used again") == 1
    assert SECRET not in worker.log


def test_jobs_wait_with_no_attempt_spent_until_the_item_is_corrected(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    table.put("acme", a="fast")
    worker = start_worker(app=APP, config_ttl=0.2, concurrency=2)
    ids = [producer.push("typed", config="acme") for _ in range(20)]
    wait_until(lambda: producer.r.zcard("{jobs}:scheduled") == len(ids))
    # They take no slot, and hold up nobody else's jobs.
    assert producer.run("show")["status"] == "succeeded"
    table.put("acme", a=2)
    for job_id in ids:
        result = producer.result(job_id)
        assert (result["result"], result["attempts"], result["config"]["stale"]) == (2, 1, False)
    assert producer.dead() == []
    assert worker.log.count("can't be used") == 1


def test_jobs_are_buried_once_the_longest_wait_is_over(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    table.put("acme", a="fast")
    start_worker(app=APP, config_ttl=0.2, config_max_stale=2)
    began = time.monotonic()
    result = producer.run("typed", config="acme")
    assert time.monotonic() - began >= 1.9
    entry = producer.dead_entry(result["id"])
    assert (entry["reason"], entry["attempts"]) == ("config_invalid", 0)
    assert entry["error"]["message"].startswith("config 'acme': a: ")
    # At once from now on, and never on what is only remembered.
    table.put("acme", a=3)
    assert producer.run("typed", config="acme")["result"] == 3


def test_by_choice_a_version_that_can_not_be_used_buries_at_once(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    table.put("acme", a=1)
    start_worker(app=APP, config_ttl=0, config_invalid="bury")
    producer.run("typed", config="acme")
    table.put("acme", a="fast")
    result = producer.run("typed", config="acme")
    assert producer.dead_entry(result["id"])["reason"] == "config_invalid"


def test_no_job_is_given_the_history_of_an_item(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    key = "#worker-history#acme"
    table.put(key, secret=SECRET)
    start_worker(app=APP, config_ttl=0.2)
    assert producer.run("whole", key)["result"] == [{}, {}, {}]
    result = producer.run("show", config=key)
    assert producer.dead_entry(result["id"])["reason"] == "config_missing"
    assert SECRET not in json.dumps(result)
