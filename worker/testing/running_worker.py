"""A worker in the process of a test: the service that `worker run` runs, without signals."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

import anyio

from worker import connections
from worker.app import App
from worker.broker.connect import open_redis
from worker.broker.errors import BROKER_DOWN
from worker.broker.passing_time import advance, end_blocking_reads, left_to_do
from worker.client import Client
from worker.execution.claimed_job import ClaimedJob
from worker.execution.hooks import Hooks
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome
from worker.process.service import Exit, Service
from worker.settings import Settings
from worker.testing.failures import Failures

_LOOK_AGAIN = 0.005  # seconds between two looks of a drain


class RunningWorker(Client):
    """An async context in which a worker runs, on asyncio: one at a time in a process.

    It is also a client of its queue. `get_redis_client` and the like work in the test, as in a
    handler. At its end handlers that still run are cancelled.
    """

    def __init__(self, app: App, settings: Settings | None = None) -> None:
        settings = settings or Settings()
        super().__init__(settings)
        self._app = app
        self._queues = [Keys(name) for name in settings.queue]
        self._failures = Failures()
        self._recorded: list[Exception] = []  # failures, once Redis has their jobs' fate
        self._running: set[ClaimedJob] = set()
        self._service: Service | None = None
        self._task: asyncio.Task[Exit] | None = None

    async def __aenter__(self) -> Self:
        """Start the worker. Raise StartupError, or HandlerError for handlers that can't be used."""
        started = asyncio.Event()
        self._service = Service(
            self._app,
            self._settings,
            signals=False,
            hooks=Hooks(
                around_run=[self._note_running],
                failed=[self._failures.failed],
                recorded=[self._note_fate],
                on_event=[lambda name, _: started.set() if name == "started" else None],
            ),
        )
        # A task of its own: where the worker fails, the test is not cancelled but sees the error.
        self._task = asyncio.create_task(self._service.run(), name="worker-in-test")
        waiting = asyncio.create_task(started.wait())
        try:
            await asyncio.wait({self._task, waiting}, return_when=asyncio.FIRST_COMPLETED)
            self._check_running()
            return await super().__aenter__()
        except BaseException:
            await self._stop()
            raise
        finally:
            waiting.cancel()

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """Raise AssertionError where the worker does not end well: its lifespan fails, say."""
        try:
            await super().__aexit__(exc_type, exc, traceback)
        finally:
            has_failed = await self._stop()
        if has_failed and exc is None:
            self._check_running()

    async def put_config(self, key: str, item: Mapping[str, Any]) -> None:
        """Write a whole config item, as `worker config put` does.

        Raise ValueError for what DynamoDB can't hold, ConfigUnavailable where it can't be written.
        """
        opened = connections.current()
        assert opened is not None  # noqa: S101 - the service has opened them in this loop
        await opened.table.put(key, item)

    async def drain(self, *expected: type[Exception], within: float = 60.0) -> None:
        """Wait until nothing is pending, running or due.

        Raise the first failure of a job, as soon as it is recorded: what its handler raised, also
        where the job is tried again, or a `JobFailed` or `Malformed` where it raised nothing. A
        `Retry` that is granted is no failure, nor are exceptions of the classes `expected`. Raise
        TimeoutError after `within` seconds, which says what is left.
        """
        left = None
        service = self._entered()
        try:
            with anyio.fail_after(within):
                while left is None or any(left) or service.held:
                    self._raise_unexpected(expected)
                    if left is not None:
                        await anyio.sleep(_LOOK_AGAIN)
                    redis = connections.get_redis_client()
                    left = await left_to_do(redis, self._queues, service.worker_id)
        except TimeoutError:
            running = ", ".join(sorted(map(str, self._running))) or "none"
            raise TimeoutError(f"after {within:g} s: {left}; running: {running}") from None
        self._raise_unexpected(expected)

    async def advance(self, seconds: float) -> int:
        """Let so many seconds pass for jobs that wait for their time. Return how many became due.

        Nothing else notices: neither time limits nor `expires_at`, nor any clock.
        """
        redis = connections.get_redis_client()
        return await advance(redis, self._queues, round(seconds * 1000))

    def _raise_unexpected(self, expected: tuple[type[Exception], ...]) -> None:
        while self._recorded:
            failure = self._recorded.pop(0)
            if not isinstance(failure, expected):
                raise failure
        self._check_running()

    def _entered(self) -> Service:
        self._open()
        assert self._service is not None  # noqa: S101 - it is open
        return self._service

    def _check_running(self) -> None:
        if self._task is not None and self._task.done():
            self._task.result()
            raise AssertionError("the worker has ended: its log says why")

    async def _stop(self) -> bool:
        """Stop the worker, at once where handlers run. Return whether it failed by itself."""
        service, task = self._service, self._task
        if service is None or task is None:
            return False
        is_forced = bool(self._running)
        service.stop()
        if is_forced:
            service.stop()
        with anyio.CancelScope(shield=True):
            ended, _ = await asyncio.wait({task}, timeout=_LOOK_AGAIN)
            if not ended:
                await self._end_blocking_reads()
            await asyncio.wait({task})
        return not is_forced and bool(task.exception() or task.result().code)

    async def _end_blocking_reads(self) -> None:
        """Spare the test the second that an idle worker takes to stop."""
        with suppress(*BROKER_DOWN):
            async with open_redis(self._settings) as redis:
                await end_blocking_reads(redis)

    # -- hooks ---------------------------------------------------------------------------------

    async def _note_running(
        self, claimed: ClaimedJob, call_next: Callable[[], Awaitable[Any]]
    ) -> Any:
        self._running.add(claimed)
        try:
            return await call_next()
        finally:
            self._running.discard(claimed)

    def _note_fate(self, claimed: ClaimedJob, outcome: Outcome) -> None:
        failure = self._failures.pop(claimed, outcome)
        if failure is not None:
            self._recorded.append(failure)
