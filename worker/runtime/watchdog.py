"""Notices that the event loop is blocked: a thread that looks whether the loop still runs."""

import asyncio
import logging
import sys
import threading
import time
import traceback
from collections.abc import Callable
from typing import Self

log: logging.Logger = logging.getLogger("worker")

BLOCKED_AFTER = 1.0  # seconds


class Watchdog:
    """Logs who blocks the loop, and a stack dump, once the loop has not run for a second, and once
    more when that has cost the lease. Others take the jobs over then, and Redis keeps the results
    right.

    `owner_of` names what an asyncio task works on, None where that is no job; it is called in the
    watchdog's thread. `lease` is in seconds.
    """

    def __init__(
        self, owner_of: Callable[["asyncio.Task[object] | None"], str | None], *, lease: float
    ) -> None:
        self._owner_of = owner_of
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
        reports = 0
        looked = time.monotonic()
        while not self._stop.wait(BLOCKED_AFTER / 4):
            # When the whole process was stopped (SIGSTOP), this thread was too: not the loop's
            # fault.
            stopped, looked = time.monotonic() - looked, time.monotonic()
            if stopped > BLOCKED_AFTER:
                self._beat = max(self._beat, looked)
            blocked = time.monotonic() - self._beat
            if blocked < BLOCKED_AFTER:
                reports = 0
            elif reports == 0:
                reports = 1
                self._report(
                    blocked, "Its time limit can't hold; make it async or a plain function."
                )
            elif reports == 1 and blocked >= self._lease:
                reports = 2
                self._report(blocked, "That has cost the lease: other workers take its jobs over.")

    def _report(self, blocked: float, consequence: str) -> None:
        owner = self._owner_of(asyncio.current_task(self._loop))
        frame = sys._current_frames().get(self._thread_id)  # noqa: SLF001 - the documented way
        stack = "".join(traceback.format_stack(frame)) if frame else "(no stack)"
        log.error(
            "%s has blocked the event loop for %.1f s. %s\n%s",
            owner or "Something that is no job",
            blocked,
            consequence,
            stack,
            extra={"event": "loop_blocked"},
        )
