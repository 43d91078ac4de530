"""`worker run` in a process of its own, and the environment that it needs."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.context import ForkServerProcess
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from tests.support import forked
from tests.support.in_process import LoggingWorker
from tests.support.producer import Producer
from tests.support.servers import DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.waiting import PATIENCE, wait_until

ROOT = Path(__file__).parent.parent.parent
OF_PYTHON = {"PYTHONPATH": str(ROOT), "PYTHONWARNINGS": "error::ResourceWarning"}
READY = "takes jobs from"


def worker_environment(redis_server: RedisServer, dynamo: DynamoServer) -> dict[str, str]:
    """Return the environment of a worker on these servers, without the machine's own settings."""
    # pytest-xdist's processes have a size of terminal that is not that of any terminal.
    dropped = ("WORKER_", "AWS_", "COLUMNS", "LINES")
    kept = {k: v for k, v in os.environ.items() if not k.startswith(dropped)}
    return {
        **kept,
        "AWS_ENDPOINT_URL_DYNAMODB": dynamo.url,
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "WORKER_REDIS_URL": redis_server.url,
        **OF_PYTHON,
    }


def _of_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith("PYTHON")}


def settings_environment(settings: Mapping[str, object]) -> dict[str, str]:
    """Return the variables for these settings: WORKER_LEASE for `lease`."""
    return {f"WORKER_{name.upper()}": str(value) for name, value in settings.items()}


class Worker:
    """A `worker run` process, its log in a file.

    It is forked from a process that has imported `worker`. With `cold=True` it is started as users
    start it.
    """

    def __init__(
        self,
        arguments: list[str],
        cwd: Path,
        environment: Mapping[str, str],
        log: Path,
        *,
        module: str = "worker",
        cold: bool = False,
    ) -> None:
        self._log = log
        self._process: ForkServerProcess | subprocess.Popen[bytes]
        # Python reads its own variables when it starts.
        if cold or _of_python(environment) != _of_python(os.environ) | OF_PYTHON:
            usual = [sys.executable, "-m", module, "run", *arguments]
            with log.open("wb") as output:
                self._process = subprocess.Popen(
                    usual, cwd=cwd, env=environment, stdout=output, stderr=subprocess.STDOUT
                )
        else:
            program = forked.Program(module, ("run", *arguments), cwd, environment, stdout=log)
            self._process = forked.fork(program)

    @property
    def log(self) -> str:
        return self._log.read_text(errors="replace") if self._log.exists() else ""

    @property
    def pid(self) -> int:
        assert self._process.pid is not None
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while the process runs."""
        if isinstance(self._process, subprocess.Popen):
            return self._process.poll()
        return self._process.exitcode

    def wait_ready(self, timeout: float = PATIENCE) -> Self:
        wait_until(lambda: READY in self.log or self.exit_code is not None, timeout)
        assert self.exit_code is None, self.log
        return self

    def signal(self, number: signal.Signals) -> None:
        if self.exit_code is None:
            os.kill(self.pid, number)

    def wait(self, timeout: float = PATIENCE) -> int:
        """Wait up to `timeout` seconds for the end of the process, and return its exit code."""
        wait_until(lambda: self.exit_code is not None, timeout, "for the end of the worker")
        code = self.exit_code
        assert code is not None
        return code

    def stop(self) -> int:
        """Send SIGTERM and return the exit code."""
        self.signal(signal.SIGTERM)
        return self.wait()

    def end(self) -> None:
        """Kill the process if it still runs, even while it is stopped."""
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGKILL)
        self.wait()


def run_to_its_end(
    arguments: Sequence[str],
    folder: Path,
    environment: Mapping[str, str],
    *,
    stdin: str = "",
    timeout: float = 60,
) -> "subprocess.CompletedProcess[str]":
    """Run `worker arguments` in a forked process for up to `timeout` seconds."""
    with TemporaryDirectory() as made:
        streams = [Path(made) / name for name in ("out", "err", "in")]
        streams[2].write_text(stdin)
        program = forked.Program("worker", tuple(arguments), folder, environment, *streams)
        process = forked.fork(program)
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
        out, err = (stream.read_text() for stream in streams[:2])
    code = process.exitcode
    assert code is not None
    return subprocess.CompletedProcess(arguments, code, out, err)


StartWorker = Callable[..., Worker]
RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]


@contextmanager
def serving(app: str, environment: Mapping[str, str], folder: Path) -> Iterator[Worker]:
    """A worker that is ready. It is stopped at the end and must exit with 0."""
    worker = Worker([app], folder, environment, folder / "worker.log")
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
    r: Any
    producer: Producer
    table: Table
    worker: Worker | LoggingWorker
    environment: dict[str, str]
