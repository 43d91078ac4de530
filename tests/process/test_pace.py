"""How many jobs a worker claims at once: near Redis and far from it."""

import redis

from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer, job
from tests.support.redis_proxy import RedisProxy
from tests.support.servers import RedisServer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker


def _exchanges(r: redis.Redis) -> int:
    return r.info("commandstats")["cmdstat_evalsha"]["calls"]


def test_a_flood_is_held_within_the_concurrency(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    start_worker(concurrency=20)
    seen = 0

    def is_done() -> bool:
        nonlocal seen
        seen = max([seen, *(r.llen(key) for key in r.keys("{jobs}:active:*"))])
        return len(r.keys("{jobs}:result:*")) == 2000

    producer.push_raw(*(job("echo") for _ in range(2000)))
    wait_until(is_done, 20)
    assert 10 <= seen <= 20


def test_a_long_way_from_redis_each_claim_takes_all_that_there_is_room_for(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, redis_server: RedisServer
) -> None:
    with RedisProxy(redis_server.port) as proxy:
        proxy.set_delay(0.05)
        start_worker(redis_url=proxy.url, concurrency=50)
        r.config_resetstat()
        producer.push_raw(*(job("echo") for _ in range(600)))
        wait_until(lambda: len(r.keys("{jobs}:result:*")) == 600, 20)
        # One for each fifty, and a few before the first and for the lease.
        assert _exchanges(r) <= 18


def test_an_idle_worker_reads_a_cold_flood_in_full_batches(
    start_worker: StartWorker,
    r: redis.Redis,
    producer: Producer,
    table: Table,
    dynamo_proxy: DynamoProxy,
) -> None:
    """A thousand keys are ten requests, although claims come in halves once config is known."""
    keys = [f"tenant-{number}" for number in range(1000)]
    table.put_many({key: {"width": 1} for key in ["warm", *keys]})
    start_worker(env={"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}, config_ttl=60)
    for number in range(3):
        producer.run("echo", number, config="warm")
    before = dynamo_proxy.count()
    producer.push_raw(*(job("echo", config=keys[number % 1000]) for number in range(10_000)))
    wait_until(lambda: r.llen("jobs") == 0 and not producer.active(), 60)
    # Ten when the machine is quiet, and twenty without the gathering.
    assert dynamo_proxy.count() - before <= 14
