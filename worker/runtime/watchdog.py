"""Catches a handler that blocks the event loop: a thread that looks whether the loop still runs."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Self

from worker.execution.claimed_job import ClaimedJob

log = logging.getLogger("worker")

BLOCKED_AFTER = 1.0  # seconds


class Watchdog:
    """Logs the job and a stack dump once the loop has not run for a second, and once more when
    that has cost the lease. Others take the jobs over then, and Redis keeps the results right.

    `running` tells which run an asyncio task belongs to.
    """

    def __init__(
        self, running: Callable[["asyncio.Task[object] | None"], ClaimedJob | None], *, lease: float
    ) -> None:
        self._running = running
        self._lease = lease
        self._loop = asyncio.get_running_loop()
        self._thread_id = threading.get_ident()
        self._stop = threading.Event()
        self._beat = time.monotonic()
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        self._tick()
        self._thread = threading.Thread(target=self._watch, name="worker-watchdog", daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        if self._timer is not None:
            self._timer.cancel()
        self._thread.join(timeout=1)

    def _tick(self) -> None:
        self._beat = time.monotonic()
        self._timer = self._loop.call_later(BLOCKED_AFTER / 4, self._tick)

    def _watch(self) -> None:
        told = 0
        looked = time.monotonic()
        while not self._stop.wait(BLOCKED_AFTER / 4):
            # When the whole process stood still (SIGSTOP), this thread did too: not the loop's.
            stood_still, looked = time.monotonic() - looked, time.monotonic()
            if stood_still > BLOCKED_AFTER:
                self._beat = max(self._beat, looked)
            blocked = time.monotonic() - self._beat
            if blocked < BLOCKED_AFTER:
                told = 0
            elif told == 0:
                told = 1
                self._tell(blocked, "Its time limit can't hold; make it async or a plain function.")
            elif told == 1 and blocked >= self._lease:
                told = 2
                self._tell(blocked, "That has cost the lease: other workers take its jobs over.")

    def _tell(self, blocked: float, consequence: str) -> None:
        run = self._running(asyncio.current_task(self._loop))
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way
        stack = "".join(traceback.format_stack(frame)) if frame else "(no stack)"
        who = f"job {run.job.id!r} ({run.job.handler!r})" if run else "something that is no job"
        log.error(
            "The event loop has been blocked for %.1f s by %s. %s\n%s",
            blocked,
            who,
            consequence,
            stack,
        )
