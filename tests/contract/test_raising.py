"""Only the process's own signals end it: whatever a handler raises is that job's failure."""

import pytest

from tests.support.producer import Producer
from tests.support.worker_process import StartWorker

APP = "tests.apps.raising:app"
KINDS = ["KeyboardInterrupt", "GeneratorExit", "SystemExit", "BaseException", "StopIteration"]


@pytest.mark.parametrize("handler", ["in_loop", "in_thread", "after_a_while", "with_a_cleanup"])
def test_a_worker_goes_on(start_worker: StartWorker, producer: Producer, handler: str) -> None:
    worker = start_worker(app=APP, max_attempts=2, backoff_max=0)
    ids = {kind: producer.push(handler, kind) for kind in KINDS}
    beside = [producer.push("echo", number) for number in range(20)]
    for kind, job_id in ids.items():
        error = producer.result(job_id)["error"]
        # Python turns a StopIteration that leaves a coroutine into a RuntimeError.
        assert error["type"] in (kind, "RuntimeError"), handler
    assert {producer.result(job_id)["status"] for job_id in beside} == {"succeeded"}
    assert {entry["reason"] for entry in producer.dead()} == {"failed"}
    assert worker.stop() == 0
