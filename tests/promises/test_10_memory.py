"""Memory is bounded: what is claimed, what waits to be written, what is cached, and sizes."""

import sys
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer, job
from tests.support.redis_proxy import RedisProxy
from tests.support.servers import RedisServer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

pytestmark = pytest.mark.once

APP = "tests.apps.promises:app"


def test_no_more_is_claimed_than_runs(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    r.lpush("jobs", *(job("count_slowly", "all", id=f"{number}") for number in range(60)))
    start_worker(app=APP, concurrency=7)
    most = 0
    while r.get("runs:all") != "60":
        most = max(most, len(producer.active()))
    assert 5 <= most <= 7
    producer.wait_idle()


def test_no_more_is_claimed_while_outcomes_wait_to_be_written(
    start_worker: StartWorker,
    r: redis.Redis,
    producer: Producer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    notes = tmp_path / "notes"
    notes.touch()
    with RedisProxy(redis_server.port) as proxy:
        start_worker(app=APP, redis_url=proxy.url, concurrency=5)
        jobs = [
            job("note", {"file": str(notes), "seconds": 0.3}, id=f"{number}")
            for number in range(20)
        ]
        r.lpush("jobs", *jobs)
        wait_until(lambda: notes.read_text().count("begins") >= 5)
        proxy.refuse()
        proxy.reset_all()
        wait_until(lambda: notes.read_text().count("ends") >= 5)
        away = time.monotonic()
        wait_until(lambda: time.monotonic() - away > 1)
        begun = notes.read_text().count("begins")
        recorded = len(list(r.scan_iter("{jobs}:result:*")))
        assert notes.read_text().count("ends") == begun
        assert begun == recorded + 5
        proxy.refuse(False)
        for number in range(20):
            assert producer.result(f"{number}")["status"] == "succeeded"
    producer.wait_idle()


@pytest.mark.parametrize(("size", "status"), [(900, "succeeded"), (1001, "failed")])
def test_a_result_may_have_so_many_bytes(
    start_worker: StartWorker, producer: Producer, size: Any, status: Any
) -> None:
    producer.push("echo", "x" * size, id="1")
    producer.push("echo", id="beside")
    start_worker(app=APP, max_result_bytes=1000)
    found = producer.result("1")
    assert found["status"] == status
    assert producer.result("beside")["status"] == "succeeded"
    if status == "failed":
        assert (found["error"]["type"], found["attempts"]) == ("ResultTooLarge", 1)
        assert "WORKER_MAX_RESULT_BYTES" in found["error"]["message"]
        assert [entry["reason"] for entry in producer.dead()] == ["result_too_large"]


def test_what_an_error_says_is_cut(start_worker: StartWorker, producer: Producer) -> None:
    start_worker(app="tests.apps.basic:app", max_attempts=1)
    producer.push("fail", "x" * 500_000, id="1")
    error = producer.result("1")["error"]
    assert len(error["message"]) == 2_000
    assert len(error["traceback"]) == 10_000
    assert len(producer.dead()[0]["error"]["message"]) == 2_000


def test_the_least_recently_used_config_goes_first(
    start_worker: StartWorker, producer: Producer, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    for number in range(4):
        table.put(f"key-{number}", number=number)
    start_worker(
        app=APP,
        env={"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url},
        config_cache_size=3,
        config_ttl=60,
    )

    def run(number: int) -> int:
        """Run a job with this config; tells how often DynamoDB was asked."""
        dynamo_proxy.clear()
        id = f"{time.monotonic()}"
        producer.push("echo", id=id, config=f"key-{number}")
        assert producer.result(id)["result"]["config"] == {"number": number}
        return dynamo_proxy.count()

    assert [run(number) for number in (0, 1, 2)] == [1, 1, 1]
    assert [run(number) for number in (0, 1, 2, 0)] == [0, 0, 0, 0]
    assert run(3) == 1  # in the place of 1, which is the one used longest ago
    assert [run(number) for number in (0, 2, 3)] == [0, 0, 0]
    assert run(1) == 1


def test_more_configs_at_once_than_are_remembered_are_all_had(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    for number in range(30):
        table.put(f"key-{number}", number=number)
    r.lpush("jobs", *(job("echo", id=f"{n}", config=f"key-{n}") for n in range(30)))
    start_worker(app=APP, config_cache_size=3)
    for number in range(30):
        assert producer.result(f"{number}")["result"]["config"] == {"number": number}


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_the_memory_of_a_worker_that_runs_many_jobs_stays_flat(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    worker = start_worker(
        app="tests.apps.basic:app", log_level="ERROR", max_attempts=1, ready=False
    )
    for number in range(50):
        table.put(f"key-{number}", number=number)

    def mebibytes_after_another(thousands: int) -> float:
        for _ in range(thousands):
            jobs = [
                job("fail" if n % 50 == 0 else "echo", "x" * 100, id=f"{n}", config=f"key-{n % 50}")
                for n in range(1000)
            ]
            r.lpush("jobs", *jobs)
        wait_until(lambda: not r.llen("jobs"), 60)
        producer.wait_idle()
        status = Path(f"/proc/{worker.pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS")]
        return int(line.split()[1]) / 1024

    warm = mebibytes_after_another(3)
    grown = mebibytes_after_another(9) - warm
    assert grown < 8
