"""Redis away: handlers finish, outcomes are kept and written, claiming resumes by itself."""

import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support.producer import Producer, job
from tests.support.redis_proxy import RedisProxy
from tests.support.servers import DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import StartWorker, Worker, serving, worker_environment

APP = "tests.apps.promises:app"
RESUMES = 2.0


@dataclass
class World:
    """A Redis of the test's own, which the worker reaches through a proxy and the test directly."""

    server: RedisServer
    proxy: RedisProxy
    r: Any
    ending: ExitStack

    @property
    def producer(self) -> Producer:
        return Producer(self.r)


@contextmanager
def a_world(folder: Path, binary: str | None) -> Iterator[World]:
    with ExitStack() as ending:
        server = a_server(folder / "redis", binary, ending)
        r = ending.enter_context(server.client())
        proxy = ending.enter_context(RedisProxy(server.port))
        yield World(server, proxy, r, ending)


@pytest.fixture
def world(tmp_path: Path, redis_binary: str | None) -> Iterator[World]:
    with a_world(tmp_path, redis_binary) as world:
        yield world


@pytest.fixture(scope="module")
def standing(
    session_dynamo: DynamoServer, redis_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[tuple[World, Worker]]:
    """A world that always comes back, and a worker that outlives it all."""
    folder = tmp_path_factory.mktemp("standing")
    with a_world(folder, redis_binary) as world:
        table = Table(session_dynamo, name="standing").create()
        environment = worker_environment(world.server, session_dynamo) | {
            "WORKER_REDIS_URL": world.proxy.url,
            "WORKER_CONFIG_TABLE": table.name,
        }
        with serving(APP, environment, folder) as worker:
            yield world, worker
        table.close()


def a_server(folder: Path, binary: str | None, ending: ExitStack) -> RedisServer:
    folder.mkdir()
    # Or a killed Redis may lose what it has answered already, while the disk is busy.
    server = RedisServer(folder, binary=binary, appendfsync="always")
    server.start()
    ending.callback(server.stop)
    return server


# -- the ways in which Redis goes away and comes back ----------------------------------------------

Way = Callable[[World], AbstractContextManager[None]]


@contextmanager
def restarted(world: World) -> Iterator[None]:
    world.server.stop()
    yield
    world.server.start()


@contextmanager
def killed(world: World) -> Iterator[None]:
    world.server.kill()
    yield
    world.server.start()


@contextmanager
def refusing(world: World) -> Iterator[None]:
    world.proxy.refuse()
    world.proxy.reset_all()
    yield
    world.proxy.refuse(False)


@contextmanager
def silent(world: World) -> Iterator[None]:
    world.proxy.drop_replies()
    yield
    world.proxy.drop_replies(False)


@contextmanager
def read_only(world: World) -> Iterator[None]:
    world.r.replicaof("127.0.0.1", "1")
    yield
    world.r.replicaof("NO", "ONE")


@contextmanager
def failed_over(world: World) -> Iterator[None]:
    """The address leads to what was the replica; the old primary lives on, read-only."""
    folder = world.server.folder.with_name("replica")
    replica = a_server(folder, world.server.binary, world.ending)
    old, new = world.r, world.ending.enter_context(replica.client())
    old.config_set("repl-diskless-sync-delay", "0")
    # What the old primary still took, and never handed on, would be lost with it.
    world.proxy.pause()
    new.replicaof("127.0.0.1", str(world.server.port))
    wait_until(lambda: new.info("replication").get("master_link_status") == "up")
    old.wait(1, 1000)
    new.replicaof("NO", "ONE")
    old.replicaof("127.0.0.1", str(replica.port))
    world.proxy.upstream_port = replica.port
    world.proxy.pause(False)
    world.r = new
    yield


@contextmanager
def out_of_memory(world: World) -> Iterator[None]:
    world.r.config_set("maxmemory", "1")
    yield
    world.r.config_set("maxmemory", "0")


@contextmanager
def loading(world: World) -> Iterator[None]:
    world.r.config_set("appendonly", "no")
    for number in range(30):
        world.r.set(f"filler:{number}", "x" * 2000)
    world.r.save()
    world.server.kill()
    world.server.options |= {
        "appendonly": "no",
        "key_load_delay": "50000",
        "loading_process_events_interval_bytes": "1024",
    }
    starting = time.monotonic()
    world.server.start()  # ends once it is loaded
    assert time.monotonic() - starting > 1
    yield


@contextmanager
def clients_killed(world: World) -> Iterator[None]:
    assert world.r.execute_command("CLIENT", "KILL", "TYPE", "normal") >= 2
    yield


@contextmanager
def clients_paused(world: World) -> Iterator[None]:
    world.r.client_pause(1000)
    yield


# -- what the worker promises ----------------------------------------------------------------------


def lines(worker: Any) -> tuple[int, int]:
    """How often the log says that Redis went and returned."""
    return worker.log.count("Redis is away:"), worker.log.count("Redis is back after")


@pytest.mark.parametrize(
    ("way", "told"),
    [
        (restarted, 1),
        (killed, 1),
        (refusing, 1),
        (silent, 1),
        (read_only, 1),
        (out_of_memory, 1),
        (clients_killed, None),
        (clients_paused, 0),
    ],
)
def test_handlers_finish_and_are_recorded_once_and_claiming_resumes(
    standing: Any, tmp_path: Path, way: Way, told: int | None
) -> None:
    world, worker = standing
    outlive(world, worker, tmp_path / "notes", way, told)


@pytest.mark.parametrize("way", [failed_over, loading])
def test_they_do_so_on_another_redis_and_on_one_that_is_slow_to_load(
    start_worker: StartWorker, world: Any, tmp_path: Path, way: Way
) -> None:
    worker = start_worker(app=APP, redis_url=world.proxy.url)
    outlive(world, worker, tmp_path / "notes", way, 1)


def outlive(world: World, worker: Worker, notes: Path, way: Way, told: int | None) -> None:
    before, _ = lines(worker)
    notes.touch()
    names = [f"{way.__name__}-{n}" for n in (1, 2, 3)]
    for id in names:
        world.producer.push("note", {"file": str(notes), "seconds": 0.8}, id=id)
    wait_until(lambda: notes.read_text().count("begins") == 3)
    with way(world):
        wait_until(lambda: notes.read_text().count("ends") == 3)
        if told:  # a worker on a busy machine takes a moment to try and record them
            wait_until(lambda: lines(worker)[0] > before)
    back = time.monotonic()
    producer = world.producer
    producer.push("echo", id=f"after-{way.__name__}")
    assert producer.result(f"after-{way.__name__}")["status"] == "succeeded"
    resumed = time.monotonic() - back
    for id in names:
        assert (producer.result(id)["status"], producer.result(id)["attempts"]) == ("succeeded", 1)
    assert resumed < RESUMES + tolerance()
    producer.wait_idle()
    assert notes.read_text().count("begins") == 3
    assert producer.dead() == []
    # Redis has recorded it a moment before the worker hears of that, and tells.
    wait_until(lambda: len(set(lines(worker))) == 1, 3)
    went, _ = lines(worker)
    assert told is None or went - before == told
    assert "Traceback" not in worker.log


@pytest.mark.parametrize("way", ["FLUSHALL", "restart"])
def test_a_redis_with_an_empty_memory_needs_no_restart_of_workers(
    start_worker: StartWorker, world: Any, way: Any
) -> None:
    r, producer = world.r, world.producer
    world.r.config_set("appendonly", "no")
    worker = start_worker(app=APP, redis_url=world.proxy.url)
    producer.push("nap", 60, id="forgotten")
    wait_until(producer.active)
    if way == "FLUSHALL":
        r.flushall()
        r.script_flush()
    else:
        world.server.kill()
        (appended,) = Path(world.server.folder).glob("appendonlydir")
        appended.rename(world.server.folder / "gone")
        world.server.start()
    back = time.monotonic()
    producer.push("echo", id="new")
    assert producer.result("new")["status"] == "succeeded"
    assert time.monotonic() - back < RESUMES + tolerance()
    wait_until(lambda: "no longer this worker's" in worker.log)
    producer.wait_idle()
    assert r.zcard("{jobs}:workers") == 1


def test_what_redis_does_while_its_memory_is_full_costs_no_lease(
    start_worker: StartWorker, world: Any, tmp_path: Path
) -> None:
    """Leases go on, so that nobody takes over what a living worker waits to record."""
    r, producer = world.r, world.producer
    notes = tmp_path / "notes"
    notes.touch()
    for _ in range(2):
        start_worker(app=APP, redis_url=world.proxy.url, lease=0.6, ready=False)
    wait_until(lambda: r.zcard("{jobs}:workers") == 2)
    producer.push("note", {"file": str(notes), "seconds": 0.5}, id="b")
    wait_until(lambda: "b begins" in notes.read_text())
    with out_of_memory(world):
        full = time.monotonic()
        wait_until(lambda: time.monotonic() - full > 1.5)
    assert producer.result("b")["status"] == "succeeded"
    producer.wait_idle()
    assert notes.read_text().count("b begins") == 1


def test_a_worker_that_has_its_hands_full_tells_of_each_outage_and_return(
    start_worker: StartWorker, world: Any
) -> None:
    worker = start_worker(app=APP, redis_url=world.proxy.url, concurrency=1, lease=1)
    world.producer.push("nap", 60, id="long")
    wait_until(world.producer.active)
    for times in (1, 2):
        with refusing(world):
            wait_until(lambda times=times: lines(worker)[0] == times)
        wait_until(lambda times=times: lines(worker)[1] == times, 3)
    assert lines(worker) == (2, 2)


def test_a_worker_that_is_stopped_while_redis_is_away_still_ends(
    start_worker: StartWorker, world: Any
) -> None:
    worker = start_worker(app=APP, redis_url=world.proxy.url, grace_period=0.5, lease=2)
    raw = world.producer.push_raw(job("nap", 60, id="a"))
    wait_until(world.producer.active)
    with refusing(world):
        wait_until(lambda: "Redis is away" in worker.log)
        assert worker.stop() == 1
    assert "could not be handed in" in worker.log
    assert world.producer.active() == [raw]
