"""What the log says after a lost lease: one line, however many jobs that meant."""

import signal

import redis

from tests.support.producer import Producer
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

APP = "tests.apps.promises:app"
LOST = "Lost the lease on queue 'jobs'"


def test_a_lost_lease_is_one_line_that_says_when_and_how_many_jobs(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    stopped = start_worker(app=APP, lease=1.0)
    ids = [producer.push("nap", 1.5) for _ in range(40)]
    wait_until(lambda: len(producer.active()) == 40)
    stopped.signal(signal.SIGSTOP)
    start_worker(app=APP, lease=1.0)
    for job_id in ids:
        producer.result(job_id)
    stopped.signal(signal.SIGCONT)
    wait_until(lambda: LOST in stopped.log)
    producer.run("echo")
    lines = [line for line in stopped.log.splitlines() if "WARNING" in line or "ERROR" in line]
    assert len(lines) == 1
    assert "40 jobs are no longer this worker's" in lines[0]
    assert "ended" in lines[0]
    assert "s ago" in lines[0]
