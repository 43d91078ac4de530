"""Ends the process when code that runs in the event loop blocks it for too long."""

import asyncio
import logging
import os
import sys
import threading
import traceback
from typing import Self

log: logging.Logger = logging.getLogger("worker")


# Seconds that the event loop has to answer.
_PATIENCE = 1.0


class BlockGuard:
    """Ends the process with exit code 1, and the stack in the log, where the context has lasted for
    `seconds` and the event loop is blocked.

    A time limit of the event loop can't hold while the loop is blocked, so this is a thread. Use it
    beside such a limit, and where the worker holds no job. `what` begins the log line.
    """

    def __init__(self, what: str, seconds: float) -> None:
        self._what = what
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self._loop_thread = threading.get_ident()
        self._over = threading.Event()

    def __enter__(self) -> Self:
        threading.Thread(target=self._watch, name="worker-block-guard", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()

    def _watch(self) -> None:
        if self._over.wait(self._seconds):
            return
        while True:
            answered = threading.Event()
            self._loop.call_soon_threadsafe(answered.set)
            if not answered.wait(_PATIENCE):
                break
            if self._over.wait(_PATIENCE):
                return
        frame = sys._current_frames().get(self._loop_thread)  # noqa: SLF001 - the documented way
        log.error(
            "%s has blocked the event loop past its time limit. The process ends with exit code 1; "
            "it holds no job. Give blocking calls timeouts of their own. It blocks here:\n%s",
            self._what,
            "".join(traceback.format_stack(frame)),
            extra={"event": "loop_blocked"},
        )
        logging.shutdown()
        os._exit(1)
