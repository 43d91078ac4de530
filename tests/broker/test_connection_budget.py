"""Handlers that use up their connections to Redis take none from the worker's own commands."""

import time
from collections.abc import Callable
from typing import Any

import anyio
import pytest
import redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import MaxConnectionsError

from tests.support.producer import Producer
from tests.support.servers import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_process import Worker
from worker import Settings
from worker.broker.connect import open_redis, open_worker_redis
from worker.demo.servers import free_port

APP = "tests.apps.hoarding:app"
LEASE = 1.2
TROUBLE = ("Redis is away", "lease", "Lost", "cancelled", "Traceback", "never awaited")
WAYS = [
    "leaves_a_subscription_open",
    "forgets_a_subscription",
    "keeps_a_connection",
    "watches",
]


@pytest.fixture
def start(start_worker: Callable[..., Worker]) -> Callable[..., Worker]:
    return lambda **settings: start_worker(app=APP, lease=LEASE, max_attempts=1, **settings)


def assert_it_works_on(r: redis.Redis, producer: Producer, worker: Worker) -> None:
    """Other jobs run at once, and the lease stands."""
    assert_the_lease_stands(r, worker, lambda: producer.result(producer.push("echo"), timeout=2))


def assert_the_lease_stands(r: Any, worker: Worker, look: Callable[[], Any] = lambda: None) -> None:
    until = time.monotonic() + 3 * LEASE
    while time.monotonic() < until:
        look()
        ((_, ends_at),) = r.zrange("{jobs}:workers", 0, -1, withscores=True)
        seconds, micros = r.time()
        assert ends_at > seconds * 1000 + micros / 1000
        time.sleep(0.01)
    assert not [trouble for trouble in TROUBLE if trouble in worker.log]


def assert_it_says_so(result: dict[str, Any], connections: int) -> None:
    assert result["status"] == "failed"
    assert result["error"]["type"] == "MaxConnectionsError"
    for part in (f"all {connections} connections", "pubsub()", "WORKER_CONCURRENCY"):
        assert part in result["error"]["message"]


def test_connections_that_handlers_keep_are_no_outage(
    start: Callable[..., Any], r: redis.Redis, producer: Producer
) -> None:
    worker = start(concurrency=60)
    for n in range(64):
        assert producer.run(WAYS[n % len(WAYS)])["status"] == "succeeded"
    refused = [producer.push(handler) for handler in (*WAYS, "uses_one", "enqueues")]
    assert_it_works_on(r, producer, worker)
    for job_id in refused:
        assert_it_says_so(producer.result(job_id), 64)
    assert worker.stop() == 0
    assert "never awaited" not in worker.log


def test_blocking_reads_that_fill_the_pool_are_no_outage(
    start: Callable[..., Any], r: redis.Redis, producer: Producer
) -> None:
    worker = start(concurrency=20)
    assert producer.run("blocks_in_the_background", 24)["status"] == "succeeded"
    wait_until(lambda: r.info("clients")["blocked_clients"] >= 24)
    waiting = producer.push("uses_one")
    assert_it_works_on(r, producer, worker)
    assert producer.result(waiting)["status"] == "succeeded"  # once the reads have ended
    assert worker.stop() == 0


def test_slots_that_all_wait_for_a_connection_are_no_outage(
    start: Callable[..., Any], r: redis.Redis, producer: Producer
) -> None:
    for _ in range(100):
        producer.push("forgets_a_subscription")
    worker = start(concurrency=10)
    wait_until(lambda: r.pubsub_numsub("channel")[0][1] >= 14)
    assert_the_lease_stands(r, worker)
    assert worker.stop() == 0


# -- the two clients ----------------------------------------------------------------------------


@pytest.fixture
def settings(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setattr("worker.broker.connect.REDIS_TIMEOUT", 0.2)
    return Settings(redis_url=redis_server.url, concurrency=1)


def test_the_shared_client_says_why_no_connection_is_free(settings: Settings) -> None:
    async def main() -> None:
        async with open_worker_redis(settings) as (shared, own):
            pool: Any = shared.connection_pool
            taken = [await pool.get_connection() for _ in range(5)]
            with pytest.raises(MaxConnectionsError, match=r"all 5 connections .* within 0.2 s"):
                await shared.get("key")
            for _ in range(20):
                assert await own.ping()
            await pool.release(taken.pop())
            assert await shared.ping()

    anyio.run(main)


def test_each_client_opens_no_more_than_its_budget(settings: Settings, r: redis.Redis) -> None:
    before = len(r.client_list())

    async def main() -> None:
        async with open_worker_redis(settings) as (shared, own):
            async with anyio.create_task_group() as group:
                for client in (shared, own):
                    for _ in range(50):
                        group.start_soon(client.execute_command, "ECHO", "x")
            assert len(r.client_list()) - before <= 5 + 8
        wait_until(lambda: len(r.client_list()) == before)

    anyio.run(main)


@pytest.mark.parametrize("opener", [open_redis, open_worker_redis])
def test_a_server_that_is_away_is_no_lack_of_connections(opener: Callable[..., Any]) -> None:
    settings = Settings(redis_url=f"redis://127.0.0.1:{free_port()}/0", concurrency=1)

    async def main() -> None:
        async with opener(settings) as opened:
            for client in opened if isinstance(opened, tuple) else (opened,):
                for _ in range(20):
                    with pytest.raises(RedisConnectionError) as caught:
                        await client.get("key")
                    assert not isinstance(caught.value, MaxConnectionsError)

    anyio.run(main)
