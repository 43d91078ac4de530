"""A worker in the process of the test, for tests in which the process is not the point.

It is the service that `worker run` runs, without signals: it starts in milliseconds, its failures
are exceptions of the test, and a debugger stops in its handlers. There is one at a time.
"""

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.from_thread import start_blocking_portal

from tests.support.waiting import PATIENCE
from worker import App, Settings, get_redis_client
from worker.errors import HandlerSignal
from worker.execution.claimed_job import ClaimedJob
from worker.execution.hooks import Hooks
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome
from worker.process.loading import load_app
from worker.process.service import Service


class JobFailed(AssertionError):
    """A job failed without an exception of its handler. `reason` is that of the dead list."""

    def __init__(self, claimed: ClaimedJob, reason: str) -> None:
        super().__init__(f"{claimed}: {reason}")
        self.reason = reason


class WorkerInProcess:
    """A running worker. `drain` waits for its jobs."""

    def __init__(self, app: App, settings: Settings) -> None:
        self._settings = settings
        self._failures: list[BaseException] = []
        self._blamed: set[ClaimedJob] = set()
        self._started = anyio.Event()
        self._service = Service(
            app,
            settings,
            signals=False,
            hooks=Hooks(
                around_run=[self._note_errors],
                recorded=[self._note_fate],
                on_event=[lambda name, _: self._started.set() if name == "started" else None],
            ),
        )

    async def drain(self, *expected: type[BaseException] | str) -> None:
        """Wait up to a minute until nothing is pending, running or due.

        Raise the first failure of a job, as soon as it happens: the exception of its handler, or
        JobFailed. `expected` are the classes of exceptions and the reasons that are no surprise.
        """
        with anyio.fail_after(PATIENCE):
            while not await self._is_drained():
                self._raise_unexpected(expected)
                await anyio.sleep(0.005)
        self._raise_unexpected(expected)

    def _raise_unexpected(self, expected: tuple[type[BaseException] | str, ...]) -> None:
        while self._failures:
            failure = self._failures.pop(0)
            if not any(_matches(failure, one) for one in expected):
                raise failure

    async def _is_drained(self) -> bool:
        """Look at all queues at once, since jobs move while we look."""
        seconds, micros = await get_redis_client().time()
        async with get_redis_client().pipeline(transaction=True) as together:
            for name in self._settings.queue:
                keys = Keys(name)
                together.llen(keys.pending)
                together.llen(keys.active(self._service.worker_id))
                together.zcount(keys.scheduled, "-inf", seconds * 1000 + micros // 1000)
            return not any(await together.execute())

    async def _note_errors(
        self, claimed: ClaimedJob, call_next: Callable[[], Awaitable[Any]]
    ) -> Any:
        try:
            return await call_next()
        except HandlerSignal:
            raise
        except Exception as error:
            self._failures.append(error)
            self._blamed.add(claimed)
            raise

    def _note_fate(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        is_blamed = claimed in self._blamed
        self._blamed.discard(claimed)
        if outcome.reason is not None and not is_blamed:
            self._failures.append(JobFailed(claimed, outcome.reason))

    async def run(self) -> None:
        await self._service.run()

    async def wait_started(self) -> None:
        await self._started.wait()

    def stop(self) -> None:
        self._service.stop()


def _matches(failure: BaseException, expected: type[BaseException] | str) -> bool:
    if isinstance(expected, str):
        return isinstance(failure, JobFailed) and failure.reason == expected
    return isinstance(failure, expected)


StartInProcess = Callable[..., AbstractAsyncContextManager[WorkerInProcess]]


@asynccontextmanager
async def running(app: App, settings: Settings) -> AsyncIterator[WorkerInProcess]:
    """A worker that runs in this event loop until the context is left."""
    worker = WorkerInProcess(app, settings)
    async with anyio.create_task_group() as group:
        group.start_soon(worker.run)
        await worker.wait_started()
        try:
            yield worker
        finally:
            worker.stop()


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
            portal.wrap_async_context_manager(running(load_app(target), settings)),
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
