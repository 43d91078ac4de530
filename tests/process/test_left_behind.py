"""A worker ends in time whatever handlers left behind, and children of handlers stay apart."""

import signal
import time

import pytest
import redis

from tests.support.producer import Producer
from tests.support.worker_process import StartWorker

APP = "tests.apps.leaving:app"
# Seconds for draining an idle worker, closing, and the patience with what was left behind.
IN_TIME = 8.0

LEFT_BEHIND = [
    "to_thread",
    "default_executor",
    "own_executor",
    "executor_in_thread",
    "thread",
    "busy_thread",
    "swallowing_task",
    "slow_cleanup_task",
    "hanging_generator",
    "hanging_atexit",
    "child_process",
    "daemon_process",
    "joined_process",
]


@pytest.mark.parametrize("handler", LEFT_BEHIND)
def test_a_worker_ends_in_time_whatever_was_left_behind(
    start_worker: StartWorker, producer: Producer, handler: str
) -> None:
    worker = start_worker(app=APP, cold=True)
    assert producer.run(handler)["status"] == "succeeded"
    began = time.monotonic()
    worker.signal(signal.SIGTERM)
    assert worker.wait(20) == 0, worker.log
    assert time.monotonic() - began < IN_TIME
    assert "has stopped; 0 jobs went back" in worker.log
    assert producer.r.zcard("{jobs}:workers") == 0


def test_the_log_names_what_was_left_behind(start_worker: StartWorker, producer: Producer) -> None:
    worker = start_worker(app=APP, cold=True)
    producer.run("thread")
    producer.run("swallowing_task")
    assert worker.stop() == 0
    assert "thread 'of-a-handler'" in worker.log
    assert "task 'swallows'" in worker.log


@pytest.mark.parametrize(
    "handler",
    [
        "subprocess_that_is_terminated",
        "terminated_child",
        "fork_that_awaits",
        "fork_that_returns",
        "fork_that_raises",
        "thread_fork_that_returns",
        "forks_a_signalled_child",
    ],
)
def test_children_of_handlers_touch_neither_signals_nor_sockets_nor_leases(
    start_worker: StartWorker, producer: Producer, r: redis.Redis, handler: str
) -> None:
    worker = start_worker(app=APP, max_attempts=1, cold=True)
    for number in range(5):
        result = producer.run(handler)
        assert result["status"] == "succeeded", result
        assert "second worker" not in str(result["result"])
        assert producer.run("echo", number)["result"] == number
    assert r.zcard("{jobs}:workers") == 1
    assert "Stopping" not in worker.log
    assert "Traceback" not in worker.log
    assert worker.stop() == 0
