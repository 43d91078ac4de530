"""A fault of the worker's own code strands no job."""

from tests.support.producer import Producer
from tests.support.worker_process import StartWorker


def test_a_job_that_meets_a_fault_of_the_worker_has_failed_an_attempt(
    start_worker: StartWorker, producer: Producer
) -> None:
    worker = start_worker(app="tests.apps.faulty:app")
    producer.push("echo", "stumble", id="bad")
    assert producer.run("echo", "well")["result"] == "well"
    bad = producer.result("bad")
    assert (bad["status"], bad["attempts"], bad["error"]["type"]) == ("failed", 2, "RuntimeError")
    assert "Job 'bad' ('echo') met a fault of the worker itself" in worker.log
    producer.wait_idle()
