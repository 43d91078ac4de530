"""Calls the functions of `@app.on_error`, beside the jobs: no outcome waits for them."""

import asyncio
import logging
import time
from collections import Counter, deque
from collections.abc import Sequence
from contextvars import Context, copy_context
from dataclasses import dataclass
from typing import Any
from weakref import ref

from worker.app import Callback
from worker.execution.claimed_job import ClaimedJob
from worker.execution.hooks import Fate
from worker.execution.log_source import job_fields, log_source
from worker.execution.threads import HandlerThreads
from worker.jobs.job import Job
from worker.runtime.forks import end_child
from worker.runtime.user_code import raised

log: logging.Logger = logging.getLogger("worker")

# Seconds that one call may take.
TIME_LIMIT = 5.0
# How many errors are reported at a time, and how many wait for their turn. Each holds its traceback
# and so the job's payload.
_AT_A_TIME = 20
_MOST_WAITING = 1_000
_LOG_EVERY = 60.0  # seconds between two log lines that say the same


@dataclass(frozen=True, slots=True, weakref_slot=True, eq=False)
class _Report:
    """One error, for one function."""

    callback: Callback
    job: Job
    error: BaseException
    fate: Fate
    context: Context

    def __str__(self) -> str:
        return f"Job {self.job.id!r}: {self.callback.name}"

    def log_fields(self) -> dict[str, Any]:
        """Return what log records of the call say, beside their text."""
        return job_fields(self.job)


class ErrorReports:
    """One for a process. `failed` is the hook of that name; `state` is what the app's lifespan
    yielded.
    """

    def __init__(self, callbacks: Sequence[Callback], state: Any) -> None:
        self._callbacks = callbacks
        self._state = state
        self._waiting: deque[_Report] = deque()
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = HandlerThreads(_AT_A_TIME)
        self._timer: asyncio.TimerHandle | None = None
        self._logged_at: dict[str, float] = {}
        self._unlogged: Counter[str] = Counter()

    def failed(self, claimed: ClaimedJob, error: BaseException, fate: Fate) -> None:
        """Report an error, as soon as few enough others are under way.

        The calls see the context variables of the job's task, and so a tracer's.
        """
        for callback in self._callbacks:
            report = _Report(callback, claimed.job, error, fate, copy_context())
            if len(self._waiting) < _MOST_WAITING:
                self._waiting.append(report)
            else:
                problem = f"was not called, since {_MOST_WAITING:,} calls wait. Make it quicker."
                self._log(report, problem)
        self._start()

    async def ended(self) -> bool:
        """Wait until all is reported, TIME_LIMIT seconds at most. Return whether nothing that can't
        be stopped is left.
        """
        deadline = time.monotonic() + TIME_LIMIT
        while self._tasks and (seconds := deadline - time.monotonic()) > 0:
            await asyncio.wait(self._tasks, timeout=seconds)
        left = len(self._waiting) + len(self._tasks)
        self._waiting.clear()
        if left:
            log.warning(
                "%d calls of on_error had not ended and are given up: it is slow.",
                left,
                extra={"event": "on_error_failed"},
            )
        for task in self._tasks:
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks, timeout=1)
        return not (self._tasks or self._threads.left_behind)

    def _start(self) -> None:
        loop, self._timer = asyncio.get_running_loop(), None
        while self._waiting and len(self._tasks) + len(self._threads.left_behind) < _AT_A_TIME:
            report = self._waiting.popleft()
            task = loop.create_task(self._run(report), context=report.context)
            self._tasks.add(task)
            task.add_done_callback(self._ended)
        if self._waiting and not (self._tasks or self._timer):  # threads left behind are in the way
            self._timer = loop.call_later(1, self._start)

    def _ended(self, task: "asyncio.Task[None]") -> None:
        self._tasks.discard(task)
        self._start()

    async def _run(self, report: _Report) -> None:
        log_source.set(ref(report))
        try:
            async with asyncio.timeout(TIME_LIMIT) as limit:
                await self._call(report)
        except asyncio.CancelledError:
            raise
        except BaseException as error:  # noqa: BLE001 - it changes nothing, sys.exit() neither
            took_too_long = f"was cancelled after {TIME_LIMIT:g} s. Make it quicker."
            self._log(report, took_too_long if limit.expired() else f"failed: {raised(error)}.")
        finally:
            end_child()

    async def _call(self, report: _Report) -> None:
        given = {
            "error": report.error,
            "job": report.job,
            "fate": report.fate,
            "state": self._state,
        }
        callback = report.callback
        arguments = {name: given[name] for name in callback.takes}
        if callback.is_async:
            await callback.function(**arguments)
        else:
            await self._threads.run(report, lambda: callback.function(**arguments))

    def _log(self, report: _Report, problem: str) -> None:
        """Log a problem; those that say the same as one line a minute, with their count."""
        kind, now = f"{report.callback.name} {problem}", time.monotonic()
        if now - self._logged_at.get(kind, -_LOG_EVERY) < _LOG_EVERY:
            self._unlogged[kind] += 1
            return
        self._logged_at[kind] = now
        more = self._unlogged.pop(kind, 0)
        log.error(
            "%s %s The job goes its way.%s",
            report,
            problem,
            f" {more} more like it since this was last logged." if more else "",
            extra={**report.log_fields(), "event": "on_error_failed", "cause": kind},
        )
