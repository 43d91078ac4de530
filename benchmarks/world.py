"""Servers and processes for the measurements: a Redis and a DynamoDB of their own."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from copy import copy
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import boto3
import redis

from worker.demo.servers import free_port, process, valkey_command

ROOT = Path(__file__).parent.parent
CONFIG_KEYS = 1_000
PATIENCE = 120.0  # seconds that one measurement may take before it counts as failed


class Failed(Exception):
    """A measurement did not come to its end; the message says why."""


@dataclass(frozen=True)
class Meter:
    """What `meter.py` wrote. `cpu` and `seconds` are totals over `jobs`; `resident_mb` is the
    process's resident memory at the first and the last of them.
    """

    jobs: int
    seconds: float
    cpu: float
    notes: list[Any]
    resident_mb: tuple[float, float]

    @property
    def figures(self) -> dict[str, float]:
        """Jobs a second, and microseconds of the worker process's CPU for each."""
        return {
            "jobs_per_s": self.jobs / self.seconds,
            "cpu_us": self.cpu / self.jobs * 1e6,
        }


class World:
    """The servers, and how to run something against them. Use `open_world`.

    `python` runs our own processes, in the folder `root`, where their packages are.
    """

    def __init__(self, folder: Path, redis_port: int, dynamo_port: int) -> None:
        self.python = sys.executable
        self.root = ROOT
        self.folder = folder
        self.redis_port = redis_port
        self.dynamo_port = dynamo_port
        self.redis = redis.Redis(port=redis_port)
        self.environment = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_"))},
            "WORKER_REDIS_URL": f"redis://127.0.0.1:{redis_port}/0",
            "WORKER_LOG_LEVEL": "WARNING",
            "AWS_ENDPOINT_URL_DYNAMODB": f"http://127.0.0.1:{dynamo_port}",
            "AWS_REGION": "us-east-1",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "benchmark",
            "AWS_SECRET_ACCESS_KEY": "benchmark",
            "PYTHONPATH": str(ROOT),
            "BENCH_REDIS_PORT": str(redis_port),
        }
        self._runs = itertools.count(1)

    def of(self, python: Path, root: Path) -> "World":
        """The same servers, for another revision of this repository."""
        other = copy(self)
        other.python, other.root = str(python), root
        other.environment = {**self.environment, "PYTHONPATH": str(root)}
        return other

    def empty(self) -> None:
        """Leave nothing of the last measurement in Redis."""
        self.redis.flushall()

    # -- DynamoDB ------------------------------------------------------------------------------

    def fill_config(self, keys: int = CONFIG_KEYS) -> None:
        """Make the config table with items `key-0` and on."""
        resource = boto3.resource(
            "dynamodb",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_DYNAMODB"],
            region_name="us-east-1",
            aws_access_key_id="benchmark",
            aws_secret_access_key="benchmark",  # noqa: S106 - moto asks for some
        )
        table = resource.create_table(
            TableName="config",
            AttributeDefinitions=[{"AttributeName": "key", "AttributeType": "S"}],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            BillingMode="PAY_PER_REQUEST",
        )
        with table.batch_writer() as batch:
            for number in range(keys):
                item = {"key": f"key-{number}", "name": f"tenant {number}", "limit": number}
                batch.put_item(Item=item)
            # What jobs that name no config run with.
            for handler in ("noop", "pickup", "sleep1ms"):
                batch.put_item(Item={"key": handler, "name": handler, "limit": 1})
        self.table = table

    def reads(self) -> int:
        """Return how many read requests DynamoDB has had so far."""
        counts = self._ask_dynamo("")
        return int(counts.get("GetItem", 0) + counts.get("BatchGetItem", 0))

    def slow_reads(self, seconds: float) -> None:
        """From now on, a read takes so much longer."""
        self._ask_dynamo(f"?delay={seconds}")

    def _ask_dynamo(self, query: str) -> dict[str, Any]:
        url = f"http://127.0.0.1:{self.dynamo_port}/benchmark{query}"
        with urllib.request.urlopen(url) as reply:
            counts: dict[str, Any] = json.load(reply)
            return counts

    # -- processes -----------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        """Return a module of ours as a command: `command("benchmarks.bare", "loop")`."""
        return [self.python, "-m", *arguments]

    def worker(self, *flags: str) -> list[str]:
        """Return the command of one of our workers."""
        return self.command("worker", "run", "benchmarks.app:app", *flags)

    @contextmanager
    def running(
        self, command: Sequence[str], **variables: object
    ) -> Iterator["subprocess.Popen[bytes]"]:
        """Run a process; end it, and all that it started, with the context."""
        log = self.folder / f"run-{next(self._runs)}.log"
        environment = {**self.environment, **{k: str(v) for k, v in variables.items()}}
        with log.open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=self.root,
                env=environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        child.log = log  # type: ignore[attr-defined]
        try:
            yield child
        finally:
            _end(child)

    def metered(
        self,
        command: Sequence[str],
        *,
        warm: int,
        jobs: int,
        first: Callable[[], object] | None = None,
        then: Callable[[], object] | None = None,
        **variables: object,
    ) -> Meter:
        """Run a worker process until its meter has seen `warm` and then `jobs` jobs.

        `first` is called once the process has been started, and `then` once a job of it has.
        """
        path = self.folder / "meter.json"
        started = path.with_suffix(".started")
        path.unlink(missing_ok=True)
        started.unlink(missing_ok=True)
        meter = {"BENCH_METER": path, "BENCH_WARM": warm, "BENCH_JOBS": jobs}
        with self.running(command, **meter, **variables) as child:
            if first is not None:
                first()
            if then is not None:
                wait_for(started.exists, child)
                then()
            wait_for(path.exists, child)
        return Meter(**json.loads(path.read_text()))

    def run(self, command: Sequence[str], **variables: object) -> str:
        """Run a command to its end. Return what it printed on standard output."""
        environment = {**self.environment, **{k: str(v) for k, v in variables.items()}}
        done = subprocess.run(
            command,
            cwd=self.root,
            env=environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        if done.returncode:
            raise Failed(f"{' '.join(command[1:4])} failed: {done.stderr.strip()[-400:]}")
        return done.stdout


@contextmanager
def open_world() -> Iterator[World]:
    """Start a Redis (no append-only file: it is the workers that are measured) and a DynamoDB."""
    with ExitStack() as stack:
        folder = Path(stack.enter_context(TemporaryDirectory(prefix="benchmarks-")))
        redis_port, dynamo_port = free_port(), free_port()
        valkey = [*valkey_command(redis_port, folder), "--appendonly", "no"]
        dynamo = [sys.executable, "-m", "benchmarks.dynamo", str(dynamo_port)]
        stack.enter_context(process(valkey, redis_port, folder))
        stack.enter_context(process(dynamo, dynamo_port, folder))
        world = World(folder, redis_port, dynamo_port)
        stack.callback(world.redis.close)
        world.fill_config()
        yield world


def wait_for(condition: Callable[[], Any], child: "subprocess.Popen[bytes] | None" = None) -> None:
    """Wait until the condition holds. Raise Failed when that takes too long or the child ends."""
    until = time.monotonic() + PATIENCE
    while not condition():
        if child is not None and child.poll() is not None:
            raise Failed(f"ended with {child.returncode}: {_log_of(child)}")
        if time.monotonic() > until:
            raise Failed(f"not done after {PATIENCE:.0f} s: {_log_of(child)}")
        time.sleep(0.01)


def cpu_seconds(pid: int) -> float:
    """Return the processor time so far of a process and of those that it started."""
    total = 0
    for member in _family(pid):
        with suppress(OSError):  # it may just have ended
            for thread in Path(f"/proc/{member}/task").glob("*/schedstat"):
                total += int(thread.read_text().split()[0])
    return total / 1e9


def _family(pid: int) -> list[int]:
    """Return a process and all that come from it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            parents[int(entry.name)] = int(fields[1])
    family = [pid]
    for member in family:
        family += [child for child, parent in parents.items() if parent == member]
    return family


def make_jobs(
    count: int,
    handler: str = "noop",
    *,
    payload: Any = None,
    config_keys: int = CONFIG_KEYS,
    order: Callable[[int], int] | None = None,
) -> Iterator[bytes]:
    """Make jobs for our worker and for the bare loop. Each names one of the config keys, in
    rotation unless `order` says which.
    """
    for number in range(count):
        key = order(number) if order else number % config_keys
        job = {
            "id": str(number),
            "handler": handler,
            "payload": {"number": number} if payload is None else payload,
            "config": f"key-{key}",
        }
        yield json.dumps(job).encode()


def push(world: World, jobs: Iterator[bytes], *, page: int = 1_000, queue: str = "jobs") -> None:
    """LPUSH them, `page` of them a command."""
    while some := list(itertools.islice(jobs, page)):
        world.redis.lpush(queue, *some)


def _log_of(child: "subprocess.Popen[bytes] | None") -> str:
    if child is None:
        return ""
    log: Path = child.log  # type: ignore[attr-defined]
    return log.read_text(errors="replace").strip()[-600:]


def _end(child: "subprocess.Popen[bytes]") -> None:
    """End a process and whatever it has started."""
    family = _family(child.pid)
    child.send_signal(signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        child.wait(3)
    for member in family:
        with suppress(ProcessLookupError):
            os.kill(member, signal.SIGKILL)
    child.wait()
