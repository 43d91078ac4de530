"""Runs plain functions in threads, and keeps count of threads that outlive their job."""

import asyncio
import logging
from collections.abc import Callable
from enum import Enum
from threading import Lock
from typing import Any

from anyio import CapacityLimiter, to_thread

from worker.execution.log_source import LogSource
from worker.runtime.forks import end_child

log: logging.Logger = logging.getLogger("worker")


class HandlerThreads:
    """At most `limit` threads at a time. `left_behind` holds the owners, mostly jobs, whose thread
    was abandoned and still runs.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limiter: CapacityLimiter | None = None
        self._lock = Lock()
        self.left_behind: set[LogSource] = set()

    async def run(self, owner: LogSource, call: Callable[[], Any]) -> Any:
        """Run `call` in a thread and return its value. When cancelled, abandon the thread.

        Log lines name the `owner`.
        """
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._limit)
        stage = _Stage.QUEUED
        # Not returned but put here: anyio's idle thread keeps what the last call returned, and with
        # an exception all its frames.
        box: list[Any] = []

        def in_thread() -> None:
            nonlocal stage
            with self._lock:
                if stage is _Stage.ABANDONED:
                    return
                stage = _Stage.RUNNING
            try:
                box.append(call())
            except BaseException as error:  # noqa: BLE001 - raised below, in the job's own task
                box.append(_Raised(error))
            finally:
                end_child()
                with self._lock:
                    stage = _Stage.ENDED
                    self.left_behind.discard(owner)

        try:
            await to_thread.run_sync(in_thread, abandon_on_cancel=True, limiter=self._limiter)
        except asyncio.CancelledError:
            with self._lock:
                # Only a thread that runs is left behind: not one that has ended before this task
                # took its next step, nor one that has not begun and now never does.
                if stage is _Stage.RUNNING:
                    self.left_behind.add(owner)
                elif stage is _Stage.QUEUED:
                    stage = _Stage.ABANDONED
            if owner in self.left_behind:
                self._log_left_behind(owner)
            raise
        value = box.pop()
        if type(value) is not _Raised:
            return value
        try:
            raise value.error
        finally:
            del value  # a frame that refers to its own exception is freed only by the collector

    def _log_left_behind(self, owner: LogSource) -> None:
        count = len(self.left_behind)
        log.warning(
            "%s: its thread can't be stopped and goes on; what it returns is discarded. "
            "Threads left behind: %d. Give blocking calls timeouts of their own.",
            owner,
            count,
            # Lines with another count are not alike: the number that grows is what matters.
            extra={**owner.log_fields(), "event": "thread_left_behind", "cause": str(count)},
        )


class _Stage(Enum):
    QUEUED = "waits for a thread"
    RUNNING = "runs in a thread"
    ENDED = "has run"
    ABANDONED = "was cancelled before it ran"


class _Raised:
    """What a call raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
