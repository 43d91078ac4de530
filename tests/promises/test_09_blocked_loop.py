"""A handler that blocks the event loop is caught, named, and its jobs are taken over."""

import signal
import time

import pytest
import redis

from tests.support.producer import Producer
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.promises:app"
BLOCKED = "has blocked the event loop"
COST = "That has cost the lease"


def test_the_log_names_the_job_and_shows_the_stack_and_once_more_when_the_lease_is_lost(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    worker = start_worker(app=APP, lease=1.6)
    producer.push("block", 2.4, id="the-culprit")
    wait_until(lambda: BLOCKED in worker.log)
    assert r.get("{jobs}:result:the-culprit") is None
    assert "Job 'the-culprit' ('block') has blocked" in worker.log
    assert "time.sleep(payload)" in worker.log
    assert COST not in worker.log
    wait_until(lambda: COST in worker.log)
    assert r.get("{jobs}:result:the-culprit") is None
    producer.result("the-culprit")
    assert worker.log.count(BLOCKED) == 2


def test_a_loop_that_is_blocked_for_less_than_a_second_is_not_reported(
    start_worker: StartWorker, producer: Producer
) -> None:
    worker = start_worker(app=APP)
    for number in range(4):
        producer.push("block", 0.4, id=f"{number}")
        producer.result(f"{number}")
    assert BLOCKED not in worker.log


def test_a_process_that_stood_still_is_not_taken_for_a_blocked_loop(
    start_worker: StartWorker, producer: Producer
) -> None:
    worker = start_worker(app=APP)
    worker.signal(signal.SIGSTOP)
    stopped = time.monotonic()
    wait_until(lambda: time.monotonic() - stopped > 1.5)
    worker.signal(signal.SIGCONT)
    producer.push("nap", 0.6, id="1")
    producer.result("1")
    assert BLOCKED not in worker.log


def test_others_take_over_what_a_blocked_worker_holds_and_their_results_stand(
    start_worker: StartWorker, producer: Producer
) -> None:
    workers = [start_worker(app=APP, lease=1) for _ in range(2)]
    producer.push("block_first", 4, id="blocks")
    found = producer.result("blocks")
    assert found["result"] == "run 2"
    wait_until(lambda: any("no longer this worker's" in worker.log for worker in workers))
    producer.wait_idle()
    assert producer.result("blocks") == found
    producer.push("echo", id="goes-on")
    assert producer.result("goes-on")["status"] == "succeeded"
