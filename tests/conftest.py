"""The fixtures: real servers, real worker processes, a producer and the commands.

`redis_server` and the config table are the session's and are emptied before each test; a test that
stops or breaks a server starts its own. With pytest-xdist each of its processes has its servers.
"""

import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.commands import Command
from tests.support.dynamo_proxy import DynamoProxy
from tests.support.in_process import StartInProcess, in_thread
from tests.support.producer import Producer
from tests.support.servers import DEBIAN_REDIS, DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.worker_process import (
    RunCommand,
    Shared,
    StartWorker,
    Worker,
    run_to_its_end,
    serving,
    settings_environment,
    worker_environment,
)
from worker import App, Settings
from worker.testing import RunningWorker

BASIC = "tests.apps.basic:app"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis-server",
        default=None,
        help="run against this redis-server, not the embedded Valkey ('debian': the machine's)",
    )


def pytest_configure() -> None:
    """Hear Ctrl-C and the end of the terminal, which `nohup` and a shell's `&` ignore: processes
    inherit that, and the tests send these signals to workers."""
    for number, handler in (
        (signal.SIGINT, signal.default_int_handler),
        (signal.SIGHUP, signal.SIG_DFL),
    ):
        if signal.getsignal(number) is signal.SIG_IGN:
            signal.signal(number, handler)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """With another Redis run what depends on it alone: tests of a fixture that starts it, but for
    those marked `once`."""
    if config.getoption("--redis-server") is None:
        return
    other = [item for item in items if not _depends_on_redis(item)]
    config.hook.pytest_deselected(items=other)
    items[:] = [item for item in items if _depends_on_redis(item)]


def _depends_on_redis(item: pytest.Item) -> bool:
    return "redis_binary" in getattr(item, "fixturenames", ()) and not item.get_closest_marker(
        "once"
    )


# -- servers ---------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def redis_binary(pytestconfig: pytest.Config) -> str | None:
    """The redis-server to test against; None: the embedded Valkey."""
    chosen: str | None = pytestconfig.getoption("--redis-server")
    return DEBIAN_REDIS if chosen == "debian" else chosen


@pytest.fixture(scope="session")
def session_redis(
    redis_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[RedisServer]:
    server = RedisServer(tmp_path_factory.mktemp("redis"), binary=redis_binary)
    server.start()
    yield server
    server.stop()


@pytest.fixture(scope="session")
def session_dynamo(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DynamoServer]:
    server = DynamoServer(tmp_path_factory.mktemp("dynamo"))
    server.start()
    yield server
    server.stop()


@pytest.fixture
def redis_server(session_redis: RedisServer) -> RedisServer:
    """The session's Redis, empty."""
    with session_redis.client() as client:
        client.flushall()
    return session_redis


@pytest.fixture
def r(redis_server: RedisServer) -> Iterator[redis.Redis]:
    """A plain client, as any producer has one."""
    with redis_server.client() as client:
        yield client


@pytest.fixture
def producer(r: redis.Redis) -> Producer:
    """Pushes to the queue `jobs` and reads its results."""
    return Producer(r)


@pytest.fixture
def table(session_dynamo: DynamoServer) -> Iterator[Table]:
    """An empty config table."""
    table = Table(session_dynamo).create()
    yield table
    table.close()


@pytest.fixture
def dynamo_proxy(session_dynamo: DynamoServer, table: Table) -> Iterator[DynamoProxy]:
    """Counts and disturbs the requests of workers started with
    `env={"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}`."""
    with DynamoProxy(session_dynamo.port) as proxy:
        yield proxy


# -- workers and commands --------------------------------------------------------------------------


@pytest.fixture
def environment(
    redis_server: RedisServer, session_dynamo: DynamoServer, table: Table
) -> dict[str, str]:
    """The environment of a worker on the session's servers."""
    return worker_environment(redis_server, session_dynamo)


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[StartWorker]:
    """Start `worker run tests.apps.basic:app` (or `app=`), with settings as keywords:
    `start_worker("--burst", lease=1.5)` sets WORKER_LEASE. Wait until the worker is ready, or not:
    `ready=False`. `cold=True` starts it as users do. At the end kill what still runs."""
    workers: list[Worker] = []

    def start(
        *flags: str,
        app: str = BASIC,
        ready: bool = True,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        cold: bool = False,
        **settings: object,
    ) -> Worker:
        worker = Worker(
            [app, *flags],
            cwd or tmp_path,
            {**environment, **settings_environment(settings), **(env or {})},
            tmp_path / f"worker-{len(workers)}.log",
            cold=cold,
        )
        workers.append(worker)
        return worker.wait_ready() if ready else worker

    yield start
    for worker in workers:
        worker.end()


@pytest.fixture
def run_command(environment: dict[str, str], tmp_path: Path) -> RunCommand:
    """Run a `worker` command in a process of its own, with settings as keywords, and return the
    completed process, its output as text."""

    def run(
        *arguments: str, stdin: str = "", timeout: float = 60, **settings: object
    ) -> "subprocess.CompletedProcess[str]":
        settings_and_environment = {**environment, **settings_environment(settings)}
        return run_to_its_end(
            arguments, tmp_path, settings_and_environment, stdin=stdin, timeout=timeout
        )

    return run


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Command:
    """Run a `worker` command in this process."""
    return Command(environment, tmp_path)


@pytest.fixture
def worker_in_process(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> StartInProcess:
    """Run a worker in this process, with settings as keywords:
    `async with worker_in_process(app, lease=1.5) as worker: ...; await worker.drain()`."""

    def start(app: App, **settings: object) -> RunningWorker:
        for name, value in {**environment, **settings_environment(settings)}.items():
            monkeypatch.setenv(name, value)
        return RunningWorker(app, Settings())

    return start


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest,
    session_dynamo: DynamoServer,
    redis_binary: str | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shared]:
    """The module's worker. It runs the module's `APP` with the module's `SETTINGS`, in this process
    if the module says `IN_PROCESS = True`."""
    app = getattr(request.module, "APP", BASIC)
    settings: dict[str, Any] = getattr(request.module, "SETTINGS", {})
    folder = tmp_path_factory.mktemp("shared")
    table = Table(session_dynamo, name="shared").create()
    with RedisServer(folder, binary=redis_binary) as server, server.client() as client:
        environment = {
            **worker_environment(server, session_dynamo),
            "WORKER_CONFIG_TABLE": table.name,
            **settings_environment(settings),
        }
        serve = in_thread if getattr(request.module, "IN_PROCESS", False) else serving
        with serve(app, environment, folder) as worker:
            yield Shared(server, client, Producer(client), table, worker, environment)
    table.close()
