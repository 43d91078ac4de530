"""`worker run --processes`: started, watched, restarted, drained."""

import os
import re
import signal

import pytest
import redis

from tests.support.producer import Producer
from tests.support.waiting import wait_until
from tests.support.worker_process import RunCommand, StartWorker

pytestmark = pytest.mark.once


def pids(log: str) -> list[int]:
    return [int(pid) for pid in re.findall(r"Worker process \d of \d: pid (\d+)", log)]


def is_gone(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return True
    return False


def leases(r: redis.Redis) -> int:
    return r.zcard("{jobs}:workers")


def test_each_process_is_a_worker_and_sigterm_drains_them_all(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    worker = start_worker("--processes", "2")
    wait_until(lambda: leases(r) == 2)
    nap = producer.push("started", 0.5)
    wait_until(lambda: r.get("started"))
    assert worker.stop() == 0
    assert producer.result(nap, 0)["status"] == "succeeded"
    assert leases(r) == 0
    assert len(pids(worker.log)) == 2
    assert all(is_gone(pid) for pid in pids(worker.log))


def test_a_killed_process_is_replaced(start_worker: StartWorker, r: redis.Redis) -> None:
    worker = start_worker("--processes", "2", lease=1)
    wait_until(lambda: leases(r) == 2)
    os.kill(pids(worker.log)[0], signal.SIGKILL)
    wait_until(lambda: len(pids(worker.log)) == 3, what="a third process")
    wait_until(lambda: worker.log.count("takes jobs from") == 3)
    assert "ended by itself (exit code -9)" in worker.log
    assert worker.stop() == 0


def test_a_burst_ends_with_its_last_process(start_worker: StartWorker, producer: Producer) -> None:
    ids = [producer.push("echo") for _ in range(20)]
    worker = start_worker("--processes", "2", "--burst", ready=False)
    assert worker.wait() == 0
    assert all(producer.result(id, 0)["status"] == "succeeded" for id in ids)


def test_what_can_not_start_is_not_started_again(start_worker: StartWorker) -> None:
    worker = start_worker("--processes", "2", app="no_such_module:app", ready=False)
    assert worker.wait() == 1
    assert len(pids(worker.log)) == 2
    assert "there is no module 'no_such_module'" in worker.log
    assert "Traceback" not in worker.log


def test_the_processes_drain_when_their_supervisor_is_killed(
    start_worker: StartWorker, r: redis.Redis
) -> None:
    worker = start_worker("--processes", "2")
    wait_until(lambda: leases(r) == 2)
    worker.signal(signal.SIGKILL)
    wait_until(lambda: leases(r) == 0)
    wait_until(lambda: all(is_gone(pid) for pid in pids(worker.log)))


def test_auto_means_one_for_each_core(start_worker: StartWorker, r: redis.Redis) -> None:
    worker = start_worker("--processes", "auto")
    cores = len(os.sched_getaffinity(0))
    wait_until(lambda: leases(r) == cores)
    assert worker.stop() == 0


def test_a_number_of_processes_that_is_none_is_refused(start_worker: StartWorker) -> None:
    worker = start_worker("--processes", "many", ready=False)
    assert worker.wait() == 1
    assert "WORKER_PROCESSES: must be a number, 1 or more, or auto" in worker.log


def test_more_processes_than_a_machine_can_hold_are_refused(run_command: RunCommand) -> None:
    done = run_command("run", "tests.apps.basic:app", processes=10**9)
    assert done.returncode == 1
    assert "WORKER_PROCESSES: must be 1,000 or less" in done.stderr
