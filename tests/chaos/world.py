"""The servers, proxies and worker processes. Everything dies with the context that opened it."""

import ctypes
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from tests.chaos.plan import LEASE
from tests.chaos.work import QUEUES, TENANTS
from tests.support.dynamo_proxy import DynamoProxy
from tests.support.redis_proxy import RedisProxy
from tests.support.servers import DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.waiting import wait_until

_ROOT = Path(__file__).parent.parent.parent
_READY = "takes jobs from"


class Slot:
    """One place in the fleet: a worker process, its own way to Redis, and its successors."""

    def __init__(self, number: int, proxy: RedisProxy, environment: dict[str, str], log: Path):
        self.number = number
        self.proxy = proxy
        self.log = log
        self.asked_to_end = False
        self.down = False
        self._environment = environment
        self._process: subprocess.Popen[bytes] | None = None
        self._log_from = 0

    def start(self) -> None:
        self.asked_to_end = self.down = False
        self._log_from = self.log.stat().st_size if self.log.exists() else 0
        with self.log.open("ab") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "worker", "run", "tests.chaos.app:app"],
                cwd=_ROOT,
                env=self._environment,
                stdout=output,
                stderr=subprocess.STDOUT,
                preexec_fn=_die_with_parent,  # noqa: PLW1509 - takes no lock
                start_new_session=True,
            )

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return None if self._process is None else self._process.poll()

    @property
    def is_ready(self) -> bool:
        """Whether it has started, whatever became of it since."""
        with self.log.open("rb") as log:
            log.seek(self._log_from)
            return _READY.encode() in log.read()

    def signal(self, number: signal.Signals) -> None:
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    def kill(self) -> None:
        """SIGKILL, and stay down until somebody calls `start`."""
        self.down = True
        self.signal(signal.SIGKILL)
        if self._process is not None:
            self._process.wait()


class World:
    """What the chaos has to break. `tally` counts what happened."""

    def __init__(
        self,
        folder: Path,
        stack: ExitStack,
        workers: int,
        max_crashes: int,
        binary: str | None,
    ) -> None:
        self._max_crashes = max_crashes
        self.tally: Counter[str] = Counter()
        self.problems: list[str] = []
        # What Redis has acknowledged must outlive its SIGKILL.
        self.redis = RedisServer(folder, binary=binary, appendfsync="always")
        self.dynamo = DynamoServer(folder)
        for server in (self.redis, self.dynamo):
            server.start()
            stack.callback(server.stop)
        self.dynamo_proxy = stack.enter_context(DynamoProxy(self.dynamo.port))
        self._fill_table()
        self.producers = stack.enter_context(RedisProxy(self.redis.port))
        self.slots = []
        for number in range(workers):
            proxy = stack.enter_context(RedisProxy(self.redis.port))
            environment = self._environment(proxy)
            self.slots.append(Slot(number, proxy, environment, folder / f"worker-{number}.log"))
            stack.callback(self.slots[-1].kill)

    def client(self) -> redis.Redis:
        """A client that goes straight to Redis, past every proxy."""
        return redis.Redis(port=self.redis.port, decode_responses=True, retry=Retry(NoBackoff(), 0))

    def proxy(self, slot: int) -> RedisProxy:
        """A worker's way to Redis, or the producers' for the number after the last."""
        return self.slots[slot].proxy if slot < len(self.slots) else self.producers

    def start_workers(self) -> None:
        for slot in self.slots:
            slot.start()
        for slot in self.slots:
            wait_until(lambda slot=slot: slot.is_ready, 30, f"for worker {slot.number}")

    def look_after_workers(self) -> None:
        """Start again whatever has ended, as a service manager does."""
        for slot in self.slots:
            code = slot.exit_code
            if code is not None and not slot.down:
                self._note_exit(slot, code)
                slot.start()

    def stop_workers(self) -> None:
        """The last drain, in a world that is whole again: every exit code must be 0."""
        for slot in self.slots:
            slot.asked_to_end = True
            slot.signal(signal.SIGTERM)
        for slot in self.slots:
            code = wait_until(lambda slot=slot: _ended(slot), 30, f"worker {slot.number} ends")[0]
            self.tally[f"exit code {code}"] += 1
            if code != 0:
                self.problems.append(f"worker {slot.number} ended with {code} after a calm drain")

    def _note_exit(self, slot: Slot, code: int) -> None:
        if not slot.is_ready:
            self.tally["starts that gave up"] += 1
        elif code == -signal.SIGKILL:
            self.tally["killed by a job"] += 1
        elif slot.asked_to_end:
            self.tally[f"exit code {code}"] += 1
        else:
            self.problems.append(f"worker {slot.number} ended by itself with {code}")

    def _environment(self, proxy: RedisProxy) -> dict[str, str]:
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("WORKER_", "AWS_"))}
        settings = {
            "REDIS_URL": proxy.url,
            "QUEUE": ",".join(QUEUES),
            "CONCURRENCY": 10,
            "LEASE": LEASE,
            "GRACE_PERIOD": 1,
            "MAX_CRASHES": self._max_crashes,
            "BACKOFF_BASE": 0.2,
            "BACKOFF_MAX": 1,
            "CONFIG_TTL": 0.5,
            "CONFIG_MAX_STALE": 1,
            "STARTUP_TIMEOUT": 20,
        }
        return {
            **kept,
            "AWS_ENDPOINT_URL_DYNAMODB": self.dynamo_proxy.url,
            "AWS_REGION": "us-east-1",
            "AWS_ACCESS_KEY_ID": "test",
            "AWS_SECRET_ACCESS_KEY": "test",
            **{f"WORKER_{name}": str(value) for name, value in settings.items()},
        }

    def _fill_table(self) -> None:
        table = Table(self.dynamo).create()
        for number in range(TENANTS):
            table.put(f"tenant-{number}", tenant=f"name of {number}")
        table.close()


@contextmanager
def opened(
    folder: Path, workers: int, max_crashes: int, binary: str | None = None
) -> Iterator[World]:
    """Start it all; end it all."""
    with ExitStack() as stack:
        yield World(folder, stack, workers, max_crashes, binary)


def _ended(slot: Slot) -> tuple[int] | None:
    code = slot.exit_code
    return None if code is None else (code,)


# Looked up beforehand: other threads run here, and a child must not wait for a lock of theirs.
_prctl = ctypes.CDLL(None).prctl if sys.platform == "linux" else None


def _die_with_parent() -> None:
    """SIGKILL and not SIGTERM, which would wait for ever in a process that SIGSTOP holds."""
    if _prctl is not None:
        pr_set_pdeathsig = 1
        _prctl(pr_set_pdeathsig, signal.SIGKILL)
