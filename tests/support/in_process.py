"""A worker in the process of the test, for tests in which the process is not the point.

It is the service that `worker run` runs, without signals: it starts in milliseconds, its failures
are exceptions of the test, and a debugger stops in its handlers. There is one at a time.
"""

import logging
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import pytest
from anyio.from_thread import start_blocking_portal

from worker import Settings
from worker.process.loading import load_app
from worker.testing import RunningWorker

StartInProcess = Callable[..., RunningWorker]


class LoggingWorker:
    """A worker in a thread, with its log in a file."""

    def __init__(self, log: Path) -> None:
        self._log = log

    @property
    def log(self) -> str:
        return self._log.read_text()


@contextmanager
def in_thread(target: str, environment: Mapping[str, str], folder: Path) -> Iterator[LoggingWorker]:
    """A worker in a thread of this process, for tests that are not async. The environment of this
    process is the worker's, meanwhile."""
    with pytest.MonkeyPatch.context() as patch, _logging_to(folder / "worker.log") as log:
        for name, value in environment.items():
            patch.setenv(name, value)
        settings = Settings()
        log.setLevel(settings.log_level)
        with (
            start_blocking_portal(backend_options={"use_uvloop": True}) as portal,
            portal.wrap_async_context_manager(RunningWorker(load_app(target), settings)),
        ):
            yield LoggingWorker(folder / "worker.log")


@contextmanager
def _logging_to(file: Path) -> Iterator[logging.Logger]:
    logger = logging.getLogger("worker")
    handler = logging.FileHandler(file)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logger.addHandler(handler)
    before = logger.level
    try:
        yield logger
    finally:
        logger.setLevel(before)
        logger.removeHandler(handler)
        handler.close()
