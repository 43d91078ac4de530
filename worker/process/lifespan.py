"""The app's lifespan: entered before the first claim, left after the drain.

It runs in a task of its own from its first line to its last. A task group or cancel scope that it
keeps open around its `yield` must be left by the task that entered it, and a lifespan that hangs or
swallows its cancellation must not hold the worker.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import anyio

from worker.app import App
from worker.errors import StartupError
from worker.execution.job_tasks import CLEANUP_SECONDS
from worker.runtime.block_guard import BlockGuard
from worker.runtime.log_lines import enable_own_loggers

log: logging.Logger = logging.getLogger("worker")


class AppLifespan:
    """One for a process. `state` is what the lifespan yielded, None without one.

    `on_end` is called where it ends while the worker runs: a task of its own has failed, say.
    `owns_process` says whether it may end the process where it blocks the event loop.
    """

    def __init__(self, app: App, on_end: Callable[[], None], *, owns_process: bool) -> None:
        self._app = app
        self._on_end = on_end
        self._owns_process = owns_process
        self._task: asyncio.Task[None] | None = None
        self._changed = asyncio.Event()
        self._leave = asyncio.Event()
        self._has_entered = False
        self._error: BaseException | None = None
        self.state: Any = None

    @property
    def is_stuck(self) -> bool:
        """Whether it still runs although it was cancelled."""
        return self._task is not None and not self._task.done()

    # -- the way in ----------------------------------------------------------------------------

    async def enter(self, seconds: float) -> None:
        """Enter it. Raise StartupError, with the traceback in the log, where it fails or does not
        yield within `seconds`. Where this is cancelled, so is the lifespan.
        """
        if self._app.lifespan is None:
            return
        with self._guard("on its way in", seconds):
            self._task = asyncio.create_task(self._run(), name="worker-lifespan")
            try:
                async with asyncio.timeout(seconds):
                    await self._changed.wait()
            except TimeoutError:
                await self._cancel()
                raise self._failure(
                    f"did not yield within {seconds:g} s (WORKER_STARTUP_TIMEOUT)"
                ) from self._error
            except asyncio.CancelledError:
                with anyio.CancelScope(shield=True):
                    await self._cancel()
                if self._has_failed:
                    raise self._failure("failed while it was stopped") from self._error
                raise
        if not self._has_entered:
            raise self._failure("failed on its way in") from self._error

    def _failure(self, what: str) -> StartupError:
        log.error(
            "The app's lifespan %s. Nothing was claimed; the worker ends.",
            what,
            exc_info=self._error,
            extra={"event": "lifespan_failed"},
        )
        return StartupError(f"the app's lifespan {what}")

    # -- the way out ---------------------------------------------------------------------------

    async def leave(self, seconds: float, force: asyncio.Event) -> bool:
        """Leave it. Return False, with the traceback in the log, where it fails or takes longer
        than `seconds`. `force`, a second signal, leaves it a moment only.
        """
        if self._task is None or not self._has_entered:
            return not self.is_stuck
        ended_early = self._task.done()
        with self._guard("on its way out", seconds):
            self._leave.set()
            await _wait(self._task, seconds, force)
            if not self._task.done():
                await self._cancel()
                problem = f"did not end within {seconds:g} s (WORKER_GRACE_PERIOD): cancelled"
            elif ended_early:
                problem = "ended while the worker ran, so the worker has ended too"
            elif self._error is not None:
                problem = "failed on its way out"
            else:
                return True
        log.error(
            "The app's lifespan %s. No job is held; the exit code is 1.",
            problem,
            exc_info=self._error,
            extra={"event": "lifespan_failed"},
        )
        return False

    # -- its task ------------------------------------------------------------------------------

    async def _run(self) -> None:
        assert self._app.lifespan is not None  # noqa: S101 - `enter` has looked
        try:
            async with self._app.lifespan(self._app) as self.state:
                self._has_entered = True
                enable_own_loggers()  # it may have configured logging
                self._changed.set()
                await self._leave.wait()
        except BaseException as error:  # noqa: BLE001 - sys.exit() too would end the loop under us
            self._error = error
        finally:
            enable_own_loggers()
            self._changed.set()
            if self._has_entered and not self._leave.is_set():
                self._on_end()

    @property
    def _has_failed(self) -> bool:
        """Whether it raised anything but the cancellation."""
        return self._error is not None and not isinstance(self._error, asyncio.CancelledError)

    async def _cancel(self) -> None:
        """Cancel it, and give it a moment to clean up."""
        if self._task is not None:
            self._leave.set()  # for one that swallows the cancellation and yields after all
            self._task.cancel()
            await asyncio.wait({self._task}, timeout=CLEANUP_SECONDS)

    def _guard(self, when: str, seconds: float) -> AbstractContextManager[object]:
        if not self._owns_process:
            return nullcontext()
        return BlockGuard(f"The app's lifespan, {when},", seconds)


async def _wait(task: "asyncio.Task[None]", seconds: float, force: asyncio.Event) -> None:
    """Wait for a task: so many seconds, or CLEANUP_SECONDS once `force` is set."""
    forced = asyncio.create_task(force.wait())
    try:
        await asyncio.wait({task, forced}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if forced.done():
            await asyncio.wait({task}, timeout=CLEANUP_SECONDS)
    finally:
        forced.cancel()
