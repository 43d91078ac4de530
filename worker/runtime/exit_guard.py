"""Ends the process in time, whatever handlers left behind.

At its end, Python waits without limit: the event loop for tasks, async generators and threads of
`asyncio.to_thread`, the interpreter for every other thread and for functions of `atexit`. A handler
that left one of these hanging would keep the process for ever, although all its jobs are given
back and all its connections closed.
"""

import asyncio
import logging
import os
import sys
import threading
from collections.abc import Callable
from contextlib import suppress

log: logging.Logger = logging.getLogger("worker")

# Seconds between the end of the work and the end of the process.
PATIENCE = 2.0


class ExitGuard:
    """Exits with `code` once the patience is over. Start it when nothing is left to be done.

    A daemon thread: it runs until the interpreter's last moment, and holds nothing up.
    """

    def __init__(self, code: int, patience: float = PATIENCE) -> None:
        self._code = code
        self._patience = patience
        self._tasks: list[asyncio.Task[object]] = []

    def start(self) -> None:
        """Begin to wait. Called within the event loop, it can name the loop's tasks later."""
        with suppress(RuntimeError):  # no loop runs
            current = asyncio.current_task()
            self._tasks = [task for task in asyncio.all_tasks() if task is not current]
        threading.Thread(target=self._wait, name="worker-exit-guard", daemon=True).start()

    def _wait(self) -> None:
        threading.Event().wait(self._patience)
        log.warning(
            "The process ends now, with exit code %d, although code of handlers still runs: %s. "
            "All jobs are given back. Let handlers end what they start.",
            self._code,
            ", ".join(self._left()) or "an async generator, or a function of atexit",
            extra={"event": "exit_forced"},
        )
        _flush(logging.shutdown)
        _flush(sys.stdout.flush)
        _flush(sys.stderr.flush)
        os._exit(self._code)

    def _left(self) -> list[str]:
        own = (threading.main_thread(), threading.current_thread())
        threads = [t for t in threading.enumerate() if t not in own and not t.daemon]
        tasks = [task for task in self._tasks if not task.done()]
        return [f"thread {t.name!r}" for t in threads] + [f"task {t.get_name()!r}" for t in tasks]


def _flush(flush: Callable[[], None]) -> None:
    # A stream that is closed, full or missing changes nothing about the exit.
    with suppress(OSError, ValueError, AttributeError):
        flush()
