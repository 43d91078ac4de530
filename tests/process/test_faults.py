"""A fault of the worker's own code strands no job."""

import json

from tests.support.waiting import wait_until


def test_a_job_that_meets_a_fault_of_the_worker_has_failed_an_attempt(start_worker, r) -> None:
    worker = start_worker(app="tests.apps.faulty:app")
    r.lpush("jobs", '{"id":"bad","handler":"echo","payload":"stumble"}')
    r.lpush("jobs", '{"id":"good","handler":"echo","payload":"well"}')
    assert json.loads(wait_until(lambda: r.get("{jobs}:result:good")))["result"] == "well"
    bad = json.loads(wait_until(lambda: r.get("{jobs}:result:bad")))
    assert (bad["status"], bad["attempts"], bad["error"]["type"]) == ("failed", 2, "RuntimeError")
    assert "Job 'bad' ('echo') met a fault of the worker itself" in worker.log
    wait_until(lambda: not r.keys("{jobs}:active:*"))
