"""What the demo runs in: the example, an environment of its own, the worker processes."""

import os
import signal
import subprocess
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import worker
from worker.demo.servers import child, last_line
from worker.errors import StartupError, WorkerError
from worker.runtime.commands import worker_command

EXAMPLE = "examples.webhooks:app"
PROCESSES = 2
_ENDS = (signal.SIGTERM, signal.SIGHUP, signal.SIGINT)
_RUN = ["run", EXAMPLE, "--processes", str(PROCESSES)]

# Everything the story depends on, so that a stray .env can't change it.
SETTINGS = {
    "WORKER_QUEUE": "jobs",
    "WORKER_CONCURRENCY": "100",
    "WORKER_CONFIG_TABLE": "config",
    "WORKER_CONFIG_KEY": "key",
    "WORKER_CONFIG_TTL": "1",
    "WORKER_CONFIG_INVALID": "bury",  # the demo shows what becomes of a tenant's bad item
    "WORKER_GRACE_PERIOD": "1",
    "WORKER_LEASE": "3",
    "WORKER_LOG_LEVEL": "INFO",
}


def find_example() -> Path:
    """Return the folder that holds `examples/`: a clone, or the copy in an installed package.

    Raise StartupError where there is neither.
    """
    package = Path(worker.__file__).parent
    for folder in (package.parent, package / "demo" / "installed", Path.cwd()):
        if (folder / "examples" / "webhooks.py").is_file():
            return folder
    raise StartupError(
        "the demo runs examples/webhooks.py, which is missing here: clone the repository, and type "
        "'uv run worker demo' in it"
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
        """Raise WorkerError, with the end of their log, where they have ended."""
        if self.process.poll() is not None:
            last = last_line(self.log)
            raise WorkerError(f"the workers ended by themselves; their last line: {last}")


@contextmanager
def workers(example: Path, log: Path) -> Iterator[Workers]:
    """Run `worker run` with the example. The context begins once it is ready, and drains it."""

    def are_ready() -> bool:
        return log.read_text(errors="replace").count("takes jobs from") == PROCESSES

    # The example is found there whatever the current folder is.
    places = [str(example), *filter(None, [os.environ.get("PYTHONPATH")])]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(places)}
    with child(worker_command(*_RUN), log, are_ready, environment) as started:
        yield Workers(started, log)


def workers_command() -> str:
    """Return what `workers` runs, as one types it."""
    return " ".join(["worker", *_RUN])


@contextmanager
def every_end_like_ctrl_c() -> Iterator[None]:
    """Take a closed terminal and a `kill` for Ctrl-C, so that they too end the children."""
    # Not one that is ignored: SIGHUP under nohup.
    numbers = [number for number in _ENDS if signal.getsignal(number) != signal.SIG_IGN]
    before = {n: signal.signal(n, signal.default_int_handler) for n in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
