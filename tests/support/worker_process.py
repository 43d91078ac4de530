"""`worker run` in a process of its own, and the environment that it needs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import redis

from tests.support.producer import Producer
from tests.support.servers import DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.waiting import wait_until

ROOT = Path(__file__).parent.parent.parent
READY = "takes jobs from"


def worker_environment(redis_server: RedisServer, dynamo: DynamoServer) -> dict[str, str]:
    """Return the environment of a worker on these servers, without the machine's own settings."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_"))}
    return {
        **kept,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamo.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "WORKER_REDIS_URL": redis_server.url,
        "PYTHONPATH": str(ROOT),
        "PYTHONWARNINGS": "error::ResourceWarning",
    }


def settings_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return the variables for these settings: WORKER_LEASE for `lease`."""
    return {f"WORKER_{name.upper()}": str(value) for name, value in settings.items()}


class Worker:
    """A `worker run` process, its log in a file."""

    def __init__(
        self, command: list[str], cwd: Path, environment: Mapping[str, str], log: Path
    ) -> None:
        self._log = log
        with log.open("wb") as output:
            self.process = subprocess.Popen(
                command, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT
            )

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace")

    def wait_ready(self, timeout: float = 60.0) -> Self:
        wait_until(lambda: READY in self.log or self.process.poll() is not None, timeout)
        assert self.process.poll() is None, self.log
        return self

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def wait(self, timeout: float = 30.0) -> int:
        """Return the exit code. Raise subprocess.TimeoutExpired after `timeout` seconds."""
        return self.process.wait(timeout)

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """Kill the process if it still runs, even while it is stopped."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.kill()
        self.process.wait()


StartWorker = Callable[..., Worker]
RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


@contextmanager
def serving(app: str, environment: Mapping[str, str], folder: Path) -> Iterator[Worker]:
    """A worker that is ready. It is stopped at the end and must exit with 0."""
    command = [sys.executable, "-m", "worker", "run", app]
    worker = Worker(command, folder, environment, folder / "worker.log")
    try:
        yield worker.wait_ready()
        assert worker.stop() == 0, worker.log
    finally:
        worker.end()


@dataclass(frozen=True)
class Shared:
    """A worker that all tests of a module share, on a Redis and a config table of its own. The
    tests tell their jobs apart by id."""

    redis_server: RedisServer
    r: redis.Redis
    producer: Producer
    table: Table
    worker: Worker
    environment: dict[str, str]
