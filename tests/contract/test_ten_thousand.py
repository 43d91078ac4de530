import json
from typing import Any

import pytest

from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once


def test_ten_thousand_jobs_with_fifty_configs_all_have_their_right_result(
    start_worker: StartWorker, producer: Producer, r: Any, table: Table
) -> None:
    for n in range(50):
        table.put(f"config-{n}", n=n)
    # As redis-cli would push them: one LPUSH a job, JSON by hand.
    with r.pipeline(transaction=False) as pipe:
        for n in range(10_000):
            pipe.execute_command(
                "LPUSH",
                "jobs",
                f'{{"id":"{n}","handler":"echo","payload":{n},"config":"config-{n % 50}"}}',
            )
        pipe.execute()
    worker = start_worker("--burst", ready=False)
    assert worker.wait(60) == 0
    results = r.mget([f"{{jobs}}:result:{n}" for n in range(10_000)])
    for n, raw in enumerate(results):
        result = json.loads(raw)
        assert result["result"] == {"payload": n, "config": {"n": n % 50}, "attempt": 1}
        assert (result["id"], result["status"]) == (f"{n}", "succeeded")
        assert result["config"]["key"] == f"config-{n % 50}"
    wait_until(lambda: not r.keys("{jobs}:active:*"))
    assert not r.exists("jobs", "{jobs}:scheduled", "{jobs}:dead", "{jobs}:workers")
    assert producer.active() == []
