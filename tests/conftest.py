"""Real servers, real worker processes, and one way to wait.

`redis_server` and `dynamo_server` live for the session and are emptied before each test; a test
that stops or breaks one makes its own. `start_worker` starts `worker run` in a process of its own.
"""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
import redis

from tests.support.commands import Command
from tests.support.dynamo_proxy import DynamoProxy
from tests.support.producer import Producer
from tests.support.servers import DEBIAN_REDIS, DynamoServer, RedisServer
from tests.support.waiting import wait_until

TABLE = "config"


# Files whose tests say nothing of the Redis that they run on.
ONCE = {
    "broker/test_redis_url",
    "commands/test_commands",
    "commands/test_config",
    "config/test_config",
    "contract/test_contexts",
    "contract/test_example",
    "contract/test_fuzz",
    "contract/test_handlers",
    "contract/test_ten_thousand",
    "jobs/test_backoff",
    "process/test_processes",
    "process/test_startup",
    "project/test_architecture",
    "project/test_benchmarks",
    "project/test_demo",
    "project/test_deploy",
    "project/test_readme",
    "promises/test_06_dynamodb_away",
    "promises/test_08_time_limits",
    "promises/test_09_blocked_loop",
    "promises/test_10_memory",
    "support/test_dynamo_proxy",
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if f"{item.path.parent.name}/{item.path.stem}" in ONCE:
            item.add_marker("once")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--redis-server",
        default=None,
        help="run against this redis-server, not the embedded Valkey ('debian': the machine's)",
    )


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


def aws_environment(dynamo: DynamoServer) -> dict[str, str]:
    return {
        "AWS_ENDPOINT_URL_DYNAMODB": dynamo.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }


class Table:
    """The config table, as an operator edits it."""

    def __init__(self, server: DynamoServer, name: str = TABLE, key: str = "key") -> None:
        self.name, self.key = name, key
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=server.url,
            region_name="us-east-1",
            aws_access_key_id="test",
            aws_secret_access_key="test",
        )
        self.client = resource.meta.client
        self._table = resource.Table(name)

    def create(self) -> "Table":
        if self.name in self.client.list_tables()["TableNames"]:
            self.drop()
        self.client.create_table(
            TableName=self.name,
            AttributeDefinitions=[{"AttributeName": self.key, "AttributeType": "S"}],
            KeySchema=[{"AttributeName": self.key, "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        return self

    def put(self, key: str, /, **attributes: Any) -> None:
        self._table.put_item(Item={self.key: key, **attributes})

    def delete(self, key: str) -> None:
        self._table.delete_item(Key={self.key: key})

    def drop(self) -> None:
        self.client.delete_table(TableName=self.name)

    def close(self) -> None:
        self.client.close()


@pytest.fixture
def table(session_dynamo: DynamoServer) -> Iterator[Table]:
    """An empty config table."""
    table = Table(session_dynamo).create()
    yield table
    table.close()


@pytest.fixture
def dynamo_proxy(session_dynamo: DynamoServer, table: Table) -> Iterator[DynamoProxy]:
    """Counts and perturbs DynamoDB's traffic, for workers started with
    `env={"AWS_ENDPOINT_URL_DYNAMODB": dynamo_proxy.url}`."""
    with DynamoProxy(session_dynamo.port) as proxy:
        yield proxy


def worker_environment(redis_server: RedisServer, dynamo: DynamoServer) -> dict[str, str]:
    """The environment of a worker on these servers, with nothing of the machine's own."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_"))}
    return {
        **kept,
        **aws_environment(dynamo),
        "WORKER_REDIS_URL": redis_server.url,
        "PYTHONPATH": str(Path(__file__).parent.parent),
        "PYTHONWARNINGS": "error::ResourceWarning",
    }


@pytest.fixture
def environment(
    redis_server: RedisServer,
    session_dynamo: DynamoServer,
    table: Table,
) -> dict[str, str]:
    """The environment of a worker on the session's servers."""
    return worker_environment(redis_server, session_dynamo)


class Worker:
    """A `worker run` process, its log in a file."""

    def __init__(
        self, command: list[str], cwd: Path, environment: dict[str, str], log: Path
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_ready(self, timeout: float = 20.0) -> "Worker":
        wait_until(
            lambda: "takes jobs from" in self.log or self.process.poll() is not None, timeout
        )
        assert self.process.poll() is None, self.log
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        return self.process.wait(timeout)

    def stop(self) -> int:
        """SIGTERM, and the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


@pytest.fixture
def start_worker(environment: dict[str, str], tmp_path: Path) -> Iterator[Callable[..., Worker]]:
    """Start `worker run tests.apps.basic:app` (or `app=`), with settings as keywords:
    `start_worker("--burst", lease=1.5)` sets WORKER_LEASE. Waits until it is ready unless told
    `ready=False`. Whatever still runs is killed at the end."""
    workers: list[Worker] = []

    def start(
        *flags: str,
        app: str = "tests.apps.basic:app",
        ready: bool = True,
        env: dict[str, str] | None = None,
        cwd: Path | None = None,
        **settings: object,
    ) -> Worker:
        variables = {f"WORKER_{name.upper()}": str(value) for name, value in settings.items()}
        worker = Worker(
            [sys.executable, "-m", "worker", "run", app, *flags],
            cwd or tmp_path,
            {**environment, **variables, **(env or {})},
            tmp_path / f"worker-{len(workers)}.log",
        )
        workers.append(worker)
        return worker.wait_ready() if ready else worker

    yield start
    for worker in workers:
        worker.end()


@pytest.fixture
def run_command(environment: dict[str, str], tmp_path: Path) -> Callable[..., Any]:
    """Run a `worker` command to its end: gives the completed process, output as text."""

    def run(
        *arguments: str, stdin: str | None = None, timeout: float = 30, **settings: object
    ) -> Any:
        variables = {f"WORKER_{name.upper()}": str(value) for name, value in settings.items()}
        return subprocess.run(
            [sys.executable, "-m", "worker", *arguments],
            cwd=tmp_path,
            env={**environment, **variables},
            input=stdin,
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )

    return run


@pytest.fixture
def command(environment: dict[str, str], tmp_path: Path) -> Command:
    """Run a `worker` command to its end, in this process."""
    return Command(environment, tmp_path)


@pytest.fixture
def producer(r: redis.Redis) -> Producer:
    """Pushes to the queue `jobs` and reads its results."""
    return Producer(r)


@dataclass(frozen=True)
class Shared:
    """A worker that all tests of a module share, on a Redis and a config table of its own. They
    tell their jobs apart by id."""

    redis_server: RedisServer
    r: redis.Redis
    producer: Producer
    table: Table
    worker: Worker
    environment: dict[str, str]


@pytest.fixture(scope="module")
def shared(
    request: pytest.FixtureRequest,
    session_dynamo: DynamoServer,
    redis_binary: str | None,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Shared]:
    """The module's worker. It runs the module's `APP`, under its `SETTINGS`."""
    app = getattr(request.module, "APP", "tests.apps.basic:app")
    settings = getattr(request.module, "SETTINGS", {})
    folder = tmp_path_factory.mktemp("shared")
    server = RedisServer(folder, binary=redis_binary)
    table = Table(session_dynamo, name="shared").create()
    server.start()
    environment = {
        **worker_environment(server, session_dynamo),
        "WORKER_CONFIG_TABLE": table.name,
        **{f"WORKER_{name.upper()}": str(value) for name, value in settings.items()},
    }
    worker = Worker(
        [sys.executable, "-m", "worker", "run", app], folder, environment, folder / "worker.log"
    )
    try:
        with server.client() as client:
            worker.wait_ready()
            yield Shared(server, client, Producer(client), table, worker, environment)
            assert worker.stop() == 0, worker.log
    finally:
        worker.end()
        server.stop()
        table.close()
