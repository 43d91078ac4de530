"""DynamoDB away, slow or throttling: jobs run with remembered config, or wait without a slot."""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
import redis

from tests.support.dynamo_proxy import DynamoProxy, error
from tests.support.producer import Producer, job
from tests.support.servers import DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import StartWorker, Worker, serving, worker_environment

pytestmark = pytest.mark.once

APP = "tests.apps.promises:app"
TTL = 0.3


@pytest.fixture
def start(start_worker: StartWorker, dynamo_proxy: DynamoProxy) -> Callable[..., Any]:
    """Start a worker that reaches DynamoDB through the proxy."""
    env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}

    def start(**settings: object) -> Any:
        return start_worker(app=APP, env=env, **{"config_ttl": TTL, **settings})

    return start


def past_its_time() -> None:
    """Wait until what was just used is old: it is read ahead of its time once or twice."""
    used = time.monotonic()
    wait_until(lambda: time.monotonic() - used > 2.5 * TTL)


# -- the ways in which DynamoDB fails --------------------------------------------------------------

Way = Callable[[DynamoProxy, DynamoServer], AbstractContextManager[None]]


@contextmanager
def refusing(proxy: DynamoProxy, _: DynamoServer) -> Iterator[None]:
    proxy.stop()
    try:
        yield
    finally:
        proxy.start()


@contextmanager
def hanging(_: DynamoProxy, server: DynamoServer) -> Iterator[None]:
    server.signal(signal.SIGSTOP)
    try:
        yield
    finally:
        server.signal(signal.SIGCONT)


def failing(status: int, kind: str) -> Way:
    @contextmanager
    def way(proxy: DynamoProxy, _: DynamoServer) -> Iterator[None]:
        with proxy.answering(lambda *_: (status, error(kind))):
            yield

    way.__name__ = kind
    return way


@contextmanager
def unprocessed(proxy: DynamoProxy, _: DynamoServer) -> Iterator[None]:
    def respond(_: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        return 200, {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}

    with proxy.answering(respond):
        yield


@contextmanager
def senseless(proxy: DynamoProxy, _: DynamoServer) -> Iterator[None]:
    with proxy.answering(lambda *_: (200, {"hello": "from a captive portal"})):
        yield


OUTAGES = [
    refusing,
    hanging,
    failing(500, "InternalServerError"),
    failing(400, "ProvisionedThroughputExceededException"),
    unprocessed,
    senseless,
]


# -- what the worker promises ----------------------------------------------------------------------


@dataclass
class Standing:
    """A worker that outlives the outages, on a Redis, a table and a proxy of its own."""

    r: redis.Redis
    table: Table
    proxy: DynamoProxy
    worker: Worker


@pytest.fixture(scope="module")
def standing(
    session_dynamo: DynamoServer, redis_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Standing]:
    folder = tmp_path_factory.mktemp("standing")
    server = RedisServer(folder, binary=redis_binary)
    server.start()
    table = Table(session_dynamo, name="standing").create()
    with server.client() as r, DynamoProxy(session_dynamo.port) as proxy:
        environment = worker_environment(server, session_dynamo) | {
            "AWS_ENDPOINT_URL_DYNAMODB": proxy.url,
            "WORKER_CONFIG_TABLE": table.name,
            "WORKER_CONFIG_TTL": str(TTL),
            "WORKER_CONCURRENCY": "4",
        }
        with serving(APP, environment, folder) as worker:
            yield Standing(r, table, proxy, worker)
    server.stop()
    table.close()


@pytest.mark.parametrize("way", OUTAGES)
def test_what_is_cached_is_served_past_its_time_and_what_is_not_waits_without_a_slot(
    standing: Standing, session_dynamo: DynamoServer, way: Way
) -> None:
    r, worker, name = standing.r, standing.worker, way.__name__
    producer = Producer(r)
    told = worker.log.count("Config can't be read")
    for key in ("cached", "other"):
        standing.table.put(f"{key}-{name}", colour="red")
    producer.push("echo", id=f"fresh-{name}", config=f"cached-{name}")
    assert producer.result(f"fresh-{name}")["config"]["stale"] is False
    past_its_time()
    with way(standing.proxy, session_dynamo):
        waiting = [
            producer.push_raw(job("echo", id=f"other-{name}-{n}", config=f"other-{name}"))
            for n in range(3)
        ]
        began = time.monotonic()
        stale = [f"stale-{name}-{n}" for n in range(40)]
        for id in stale:
            producer.push("echo", id=id, config=f"cached-{name}")
        for id in stale:
            found = producer.result(id)
            assert found["config"]["stale"] is True
            assert found["result"]["config"] == {"colour": "red"}
        assert time.monotonic() - began < 6 + tolerance()
        wait_until(
            lambda: (
                set(r.zrange("{jobs}:scheduled", 0, -1)) == set(waiting) and not producer.active()
            )
        )
        assert worker.log.count("Config can't be read") == told + 1
    read_again = worker.log.count("can be read again")

    def is_read_again() -> bool:
        producer.push("echo", id=f"again-{name}", config=f"cached-{name}")
        return worker.log.count("can be read again") > read_again

    wait_until(is_read_again)
    for n in range(3):
        assert producer.result(f"other-{name}-{n}")["attempts"] == 1
    producer.wait_idle()
    assert producer.dead() == []


def test_jobs_that_waited_for_their_config_run_when_dynamodb_is_back(
    start: StartWorker, r: redis.Redis, producer: Producer, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    table.put("cached", colour="red")
    table.put("other", colour="blue")
    worker = start()
    producer.push("echo", id="fresh", config="cached")
    producer.result("fresh")
    dynamo_proxy.stop()
    for number in range(8):
        producer.push("echo", id=f"other-{number}", config="other")
    wait_until(lambda: r.zcard("{jobs}:scheduled") == 8)
    table.put("cached", colour="green")
    dynamo_proxy.start()
    for number in range(8):
        found = producer.result(f"other-{number}")
        assert (found["attempts"], found["config"]["stale"]) == (1, False)
        assert found["result"]["config"] == {"colour": "blue"}
    past_its_time()
    producer.push("echo", id="fresh-again", config="cached")
    found = producer.result("fresh-again")
    assert (found["config"]["stale"], found["result"]["config"]) == (False, {"colour": "green"})
    producer.wait_idle()
    assert producer.dead() == []
    assert worker.log.count("Config can't be read") == 1
    assert worker.log.count("can be read again") == 1


def test_what_is_cached_is_served_no_longer_than_the_limit_says(
    start: StartWorker, r: redis.Redis, producer: Producer, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    table.put("cached", colour="red")
    start(config_max_stale=0.5)
    producer.push("echo", id="1", config="cached")
    producer.result("1")
    dynamo_proxy.stop()
    old = time.monotonic()
    wait_until(lambda: time.monotonic() - old > TTL + 0.6)
    raw = producer.push_raw(job("echo", id="2", config="cached"))
    wait_until(lambda: r.zrange("{jobs}:scheduled", 0, -1) == [raw])
    dynamo_proxy.start()
    assert producer.result("2")["config"]["stale"] is False


def test_jobs_with_config_run_at_full_speed_beside_jobs_that_wait_for_theirs(
    start: StartWorker,
    r: redis.Redis,
    producer: Producer,
    table: Table,
    dynamo_proxy: DynamoProxy,
    session_dynamo: DynamoServer,
) -> None:
    table.put("cached", colour="red")
    start(concurrency=10)
    producer.push("echo", id="0", config="cached")
    producer.result("0")
    past_its_time()
    with hanging(dynamo_proxy, session_dynamo):
        producer.push("echo", id="first", config="cached")
        assert producer.result("first")["config"]["stale"] is True
        began = time.monotonic()
        for number in range(300):
            producer.push("echo", id=f"waits-{number}", config=f"unknown-{number}")
            producer.push("echo", id=f"runs-{number}", config="cached")
        for number in range(300):
            assert producer.result(f"runs-{number}")["status"] == "succeeded"
        assert time.monotonic() - began < 4 + tolerance()
        assert r.zcard("{jobs}:scheduled") > 250


def test_claiming_slows_down_when_no_job_gets_its_config(
    start: StartWorker, r: redis.Redis, dynamo_proxy: DynamoProxy
) -> None:
    start(concurrency=10)
    dynamo_proxy.stop()
    raws = [job("echo", id=f"{number}", config="any") for number in range(400)]
    r.lpush("jobs", *raws)
    wait_until(lambda: r.zcard("{jobs}:scheduled"))
    r.config_resetstat()
    began = time.monotonic()
    wait_until(lambda: time.monotonic() - began > 3)
    assert r.info("commandstats")["cmdstat_lmove"]["calls"] < 150
    everything = r.lrange("jobs", 0, -1) + r.zrange("{jobs}:scheduled", 0, -1)
    assert sorted(everything) == sorted(raws)


def test_reads_slow_down_too(start: StartWorker, r: redis.Redis, dynamo_proxy: DynamoProxy) -> None:
    start(concurrency=10)
    with dynamo_proxy.answering(lambda *_: (500, error("InternalServerError"))):
        dynamo_proxy.clear()
        r.lpush("jobs", *(job("echo", id=f"{number}", config=f"{number}") for number in range(400)))
        began = time.monotonic()
        wait_until(lambda: time.monotonic() - began > 3)
        assert 1 <= dynamo_proxy.count() < 20


def test_unprocessed_keys_are_asked_for_again(
    start: StartWorker, producer: Producer, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    for number in range(10):
        table.put(f"key-{number}", number=number)
    start()
    times = 0

    def respond(_: str, asked: dict[str, Any]) -> tuple[int, dict[str, Any]] | None:
        nonlocal times
        times += 1
        if times > 2:
            return None
        return 200, {"Responses": {}, "UnprocessedKeys": asked["RequestItems"]}

    dynamo_proxy.clear()
    with dynamo_proxy.answering(respond):
        for number in range(10):
            producer.push("echo", id=f"{number}", config=f"key-{number}")
        for number in range(10):
            assert producer.result(f"{number}")["result"]["config"] == {"number": number}
    assert times > 2
    producer.wait_idle()


@pytest.mark.parametrize(
    ("kind", "told"),
    [
        ("UnrecognizedClientException", "does not know these credentials"),
        ("AccessDeniedException", "dynamodb:BatchGetItem"),
    ],
)
def test_wrong_credentials_are_not_reported_as_an_outage(
    start: StartWorker,
    r: redis.Redis,
    producer: Producer,
    dynamo_proxy: DynamoProxy,
    kind: str,
    told: str,
) -> None:
    worker = start()
    with dynamo_proxy.answering(lambda *_: (500, error("InternalServerError"))):
        raw = producer.push_raw(job("echo", id="1", config="any"))
        wait_until(lambda: r.zrange("{jobs}:scheduled", 0, -1) == [raw])
        assert "An operator has to fix this" not in worker.log
    with dynamo_proxy.answering(lambda *_: (400, error(kind))):
        wait_until(lambda: "An operator has to fix this" in worker.log)
    (line,) = [line for line in worker.log.splitlines() if "An operator has to fix" in line]
    assert kind in line
    assert told in line
    assert producer.dead() == []


def test_a_deleted_table_is_named_and_its_jobs_wait(
    start: StartWorker, r: redis.Redis, producer: Producer, table: Table
) -> None:
    table.put("k", width=1)
    worker = start()
    table.drop()
    raw = producer.push_raw(job("echo", id="1", config="k"))
    wait_until(lambda: "there is no such table" in worker.log)
    wait_until(lambda: r.zrange("{jobs}:scheduled", 0, -1) == [raw])
    assert "An operator has to fix this" in worker.log
    table.create()
    table.put("k", width=2)
    assert producer.result("1")["result"]["config"] == {"width": 2}
    assert producer.dead() == []


def test_a_handler_that_reads_an_impossible_key_harms_nobody(
    start_worker: StartWorker, producer: Producer, table: Table
) -> None:
    table.put("k", width=1)
    worker = start_worker(app=APP, config_ttl=TTL, max_attempts=1)
    for number, key in enumerate(["", "x" * 3000]):
        producer.push("read_config", key, id=f"reads-{number}")
        assert producer.result(f"reads-{number}")["error"]["type"] == "ValueError"
    producer.push("echo", id="1", config="k")
    assert producer.result("1")["config"]["stale"] is False
    assert "Config can't be read" not in worker.log
