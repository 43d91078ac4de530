"""Runs plain handlers in threads, and keeps count of threads that outlive their job."""

import asyncio
import logging
from collections.abc import Callable
from threading import Lock
from typing import Any

from anyio import CapacityLimiter, to_thread

from worker.execution.claimed_job import ClaimedJob

log = logging.getLogger("worker")


class HandlerThreads:
    """At most `limit` threads at a time. `left_behind` holds the jobs whose thread was abandoned
    and still runs.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._limiter: CapacityLimiter | None = None
        self._lock = Lock()
        self.left_behind: set[ClaimedJob] = set()

    async def run(self, claimed: ClaimedJob, call: Callable[[], Any]) -> Any:
        """Run `call` in a thread and return its value. When cancelled, abandon the thread."""
        if self._limiter is None:
            self._limiter = CapacityLimiter(self._limit)
        ended = False
        # Not returned but put here: anyio's idle thread keeps what the last call returned, and with
        # an exception all its frames.
        box: list[Any] = []

        def in_thread() -> None:
            nonlocal ended
            try:
                box.append(call())
            except BaseException as error:  # noqa: BLE001 - raised below, in the job's own task
                box.append(_Raised(error))
            finally:
                # The lock orders this with the cancellation below: a thread that has ended before
                # its cancelled task takes its next step is not left behind.
                with self._lock:
                    ended = True
                    self.left_behind.discard(claimed)

        try:
            await to_thread.run_sync(in_thread, abandon_on_cancel=True, limiter=self._limiter)
        except asyncio.CancelledError:
            with self._lock:
                if not ended:
                    self.left_behind.add(claimed)
            if claimed in self.left_behind:
                self._log_left_behind(claimed)
            raise
        value = box.pop()
        if type(value) is not _Raised:
            return value
        try:
            raise value.error
        finally:
            del value  # a frame that refers to its own exception is freed only by the collector

    def _log_left_behind(self, claimed: ClaimedJob) -> None:
        log.warning(
            "%s: its thread can't be stopped and goes on; what it returns is discarded. "
            "Threads left behind: %d. Give blocking calls timeouts of their own.",
            claimed,
            len(self.left_behind),
        )


class _Raised:
    """What a call raised."""

    def __init__(self, error: BaseException) -> None:
        self.error = error
