"""Section 4 of the contract: one session, one client of each kind, nothing left open."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis

import worker
from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import Shared
from worker import (
    NotOpen,
    Settings,
    get_config,
    get_dynamo_client,
    get_redis_client,
    open_connections,
)

APP = "tests.apps.reaching:app"

WAYS = [
    "on_the_loop",
    "in_a_thread",
    "in_a_thread_of_its_own",
    "in_a_task",
    "in_a_thread_of_anyio",
]


@pytest.fixture
def settings(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """The settings of this very process, as `environment` has them."""
    for name, value in environment.items():
        if name.startswith(("WORKER_", "AWS_")):
            monkeypatch.setenv(name, value)
    return Settings()


# -- the objects --------------------------------------------------------------------------------


def test_every_handler_reaches_the_same_two_clients(shared: Shared) -> None:
    ids = [shared.producer.push(way) for way in WAYS * 4]
    seen = {tuple(shared.producer.result(job_id)["result"]) for job_id in ids}
    assert len(seen) == 1


def test_outside_the_context_the_accessors_say_so() -> None:
    for accessor in (get_redis_client, get_dynamo_client):
        with pytest.raises(NotOpen, match="open_connections"):
            accessor()
    with pytest.raises(NotOpen, match="open_connections"):
        anyio.run(get_config, "k")


def test_inside_it_they_give_what_the_context_opened(settings: Settings, table: Table) -> None:
    table.put("k", n=1)

    async def main() -> None:
        async with open_connections(settings) as opened:
            assert get_redis_client() is opened.redis
            assert get_dynamo_client() is opened.dynamo
            assert await get_config("k") == {"key": "k", "n": 1}
            assert await get_config("none") == {}
            assert await opened.redis.ping()
            with pytest.raises(NotOpen, match="open already"):
                async with open_connections(settings):
                    pass
            assert get_redis_client() is opened.redis
        with pytest.raises(NotOpen):
            get_redis_client()

    anyio.run(main)


def test_a_failure_inside_closes_everything_all_the_same(
    settings: Settings, r: redis.Redis, dynamo_proxy: DynamoProxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamo_proxy.url)
    before = len(r.client_list())

    async def main() -> None:
        async with open_connections(settings) as opened:
            await opened.redis.ping()
            await get_config("k")
            assert len(r.client_list()) == before + 1
            assert dynamo_proxy.open_connections == 1
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        anyio.run(main)
    wait_until(lambda: len(r.client_list()) == before)
    wait_until(lambda: dynamo_proxy.open_connections == 0)


# -- the sockets --------------------------------------------------------------------------------


class Counting:
    """The largest number of connections that either server saw."""

    def __init__(self, r: Any, proxy: Any) -> None:
        self._r, self._proxy = r, proxy
        self._own = len(r.client_list())
        self.redis = self.dynamo = 0

    def look(self) -> bool:
        """Count. Return False, for conditions that wait for something else."""
        self.redis = max(self.redis, len(self._r.client_list()) - self._own)
        self.dynamo = max(self.dynamo, self._proxy.open_connections)
        return False


def push_many(producer: Any, handler: str, count: int) -> None:
    with producer.r.pipeline() as pipe:
        for n in range(count):
            job = {"id": f"{n}", "handler": handler, "payload": f"{n}", "config": f"k{n % 50}"}
            pipe.lpush("jobs", json.dumps(job))
        pipe.execute()


@pytest.fixture
def start(start_worker: Callable[..., Any], dynamo_proxy: DynamoProxy) -> Callable[..., Any]:
    def start(**settings: object) -> Any:
        env = {"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}
        return start_worker(app=APP, env=env, **settings)

    return start


@pytest.mark.parametrize("config_ttl", [5, 0])
def test_jobs_under_load_take_a_handful_of_connections(
    start: Callable[..., Any],
    r: redis.Redis,
    producer: Producer,
    table: Table,
    dynamo_proxy: DynamoProxy,
    config_ttl: int,
) -> None:
    for n in range(50):
        table.put(f"k{n}", n=n)
    counting = Counting(r, dynamo_proxy)
    start(concurrency=100, config_ttl=config_ttl)
    push_many(producer, "nap", 2_000)
    wait_until(lambda: counting.look() or r.exists("{jobs}:result:1999"))
    producer.wait_idle()
    # One for the turns, one for the blocking read, one each for the heartbeat and the recoverer.
    assert 1 <= counting.redis <= 4
    assert 1 <= counting.dynamo <= 4
    assert dynamo_proxy.connections <= 4


def test_handlers_that_use_the_clients_stay_within_the_concurrency(
    start: Callable[..., Any],
    r: redis.Redis,
    producer: Producer,
    table: Table,
    dynamo_proxy: DynamoProxy,
) -> None:
    for n in range(50):
        table.put(f"k{n}", n=n)
    counting = Counting(r, dynamo_proxy)
    start(concurrency=10)
    push_many(producer, "uses_both", 100)
    wait_until(lambda: counting.look() or r.exists("{jobs}:result:99"))
    producer.wait_idle()
    assert 5 <= counting.redis <= 10 + 4
    assert 1 <= counting.dynamo <= 10 + 4
    assert all(producer.result(f"{n}")["status"] == "succeeded" for n in range(100))


def test_a_thousand_look_ups_reuse_one_socket(
    start: Callable[..., Any], producer: Producer, table: Table, dynamo_proxy: DynamoProxy
) -> None:
    table.put("k", n=1)
    start(config_ttl=0)
    dynamo_proxy.clear()
    assert producer.run("looks_up", 1_000)["result"] == 1_000
    assert dynamo_proxy.keys().count("k") == 1_000
    assert dynamo_proxy.connections == 0  # the one of the start-up serves on


def test_nothing_is_left_open_at_exit(
    start: Callable[..., Any],
    r: redis.Redis,
    producer: Producer,
    table: Table,
    dynamo_proxy: DynamoProxy,
) -> None:
    before = len(r.client_list())
    worker = start()
    for way in WAYS:
        producer.run(way)
    assert worker.stop() == 0
    for trouble in ("ResourceWarning", "Exception ignored", "never awaited", "was destroyed"):
        assert trouble not in worker.log
    wait_until(lambda: len(r.client_list()) == before)
    wait_until(lambda: dynamo_proxy.open_connections == 0)


# -- the import ---------------------------------------------------------------------------------

WATCHED = """
import os, sys, threading

events, read = [], set()
watched = ("socket.__new__", "socket.connect", "socket.getaddrinfo", "_thread.start_new_thread")
sys.addaudithook(lambda event, _: events.append(event) if event in watched else None)
kind = type(os.environ)
get, contains = kind.__getitem__, kind.__contains__
kind.__getitem__ = lambda self, name: read.add(name) or get(self, name)
kind.__contains__ = lambda self, name: read.add(name) or contains(self, name)
kind.__iter__ = lambda self: read.add("all of it") or iter(())

import worker
assert not read, read
worker.App
assert not read, read
if "all" in sys.argv:
    for name in worker.__all__:
        getattr(worker, name)
    assert not [n for n in read if n.startswith(("WORKER_", "AWS_"))], read
assert not events, events
assert threading.active_count() == 1
"""


@pytest.mark.parametrize("how_much", ["the package", "all"])
def test_importing_opens_no_socket_reads_no_environment_and_starts_no_thread(how_much: str) -> None:
    root = Path(worker.__file__).parent.parent
    code = [sys.executable, "-c", WATCHED, how_much]
    done = subprocess.run(code, cwd=root, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
