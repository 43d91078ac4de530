"""What the demo needs round it: the example, an environment of its own, the worker processes."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import worker
from worker.demo.servers import child, last_line
from worker.errors import StartupError, WorkerError

EXAMPLE = "examples.webhooks:app"
PROCESSES = 2
_ENDS = (signal.SIGTERM, signal.SIGHUP)
_RUN = ["run", EXAMPLE, "--processes", str(PROCESSES)]

# Everything the story depends on, so that a stray .env can't change it.
SETTINGS = {
    "WORKER_QUEUE": "jobs",
    "WORKER_CONCURRENCY": "100",
    "WORKER_CONFIG_TABLE": "config",
    "WORKER_CONFIG_KEY": "key",
    "WORKER_CONFIG_TTL": "1",
    "WORKER_GRACE_PERIOD": "1",
    "WORKER_LOG_LEVEL": "INFO",
}


def find_clone() -> Path:
    """The folder that holds `examples/`. Raises StartupError: the installed package has none."""
    for folder in (Path(worker.__file__).parent.parent, Path.cwd()):
        if (folder / "examples" / "webhooks.py").is_file():
            return folder
    raise StartupError(
        "the demo runs examples/webhooks.py, which is not part of the installed package: clone the "
        "repository, and type 'uv run worker demo' in it"
    )


def use_only(environment: Mapping[str, str]) -> None:
    """Make these the only WORKER_ and AWS_ variables of this process and its children."""
    for name in list(os.environ):
        if name.startswith(("WORKER_", "AWS_")):
            del os.environ[name]
    os.environ.update(environment)


@dataclass(frozen=True)
class Workers:
    """The worker processes, and where they log."""

    process: "subprocess.Popen[bytes]"
    log: Path

    def check(self) -> None:
        """Raises WorkerError, with the end of their log, where they have ended."""
        if self.process.poll() is not None:
            last = last_line(self.log)
            raise WorkerError(f"the workers ended by themselves; the last they said: {last}")


@contextmanager
def workers(clone: Path, log: Path) -> Iterator[Workers]:
    """`worker run` with the example, ready; drained with the context."""

    def are_ready() -> bool:
        return log.read_text(errors="replace").count("takes jobs from") == PROCESSES

    command = [sys.executable, "-m", "worker", *_RUN]
    environment = {**os.environ, "PYTHONPATH": str(clone)}
    with child(command, log, are_ready, environment) as started:
        yield Workers(started, log)


def workers_command() -> str:
    """What `workers` runs, as one would type it."""
    return " ".join(["worker", *_RUN])


@contextmanager
def every_end_like_ctrl_c() -> Iterator[None]:
    """Take a closed terminal and a `kill` for Ctrl-C, so that they too end the children."""

    def interrupt(*_: object) -> None:
        signal.raise_signal(signal.SIGINT)

    before = {number: signal.signal(number, interrupt) for number in _ENDS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
