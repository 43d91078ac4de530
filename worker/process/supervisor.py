"""Keeps several worker processes running: starts, watches and restarts them, passes signals on.

Each child is a whole worker that opens its own connections. It shares nothing with the others, and
nothing that was open is forked. Children are in sessions of their own, so that Ctrl-C reaches them
only through here, and only once.
"""

import asyncio
import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress

import anyio
from anyio.abc import Process

from worker.jobs.backoff import Backoff
from worker.runtime.cores import usable_cores
from worker.runtime.parent import end_with_parent
from worker.runtime.signals import signals_passed_to

log: logging.Logger = logging.getLogger("worker")

_RESTART = Backoff(base=0.5, factor=2.0, max=30.0)
# Seconds. A child that ran for so long has started well: its next restart is soon again.
_PROVEN = 30.0
# Seconds beyond its time limits that a child may take to import, to clean up and to exit.
_IMPORTS = 8.0
_ENDED_EARLY = (-signal.SIGTERM, 128 + signal.SIGTERM)
PARENT = "WORKER_SUPERVISOR_PID"


def processes(wanted: int | str) -> int:
    """Return how many processes `wanted` asks for: itself, or for 'auto' one for each core."""
    return usable_cores() if wanted == "auto" else int(wanted)


def die_with_supervisor() -> bool:
    """In a child: drain when the supervisor is gone, however it ended (Linux).

    Return whether this process is such a child.
    """
    parent = os.environ.get(PARENT)
    if parent is not None and sys.platform == "linux":
        end_with_parent()
        if os.getppid() != int(parent):
            raise SystemExit(1)
    return parent is not None


class Supervisor:
    """Runs `count` children of one command.

    `startup_timeout` is how long, in seconds, a child may take to find that it can't start. When
    the first children exit so early, all end, since the rest would fail too.
    """

    def __init__(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        count: int,
        *,
        startup_timeout: float,
    ) -> None:
        self._command = list(command)
        self._environment = {**environment, PARENT: str(os.getpid())}
        self._count = count
        # One time limit for Redis and the table, and one for the app's lifespan.
        self._startup = 2 * startup_timeout + _IMPORTS
        self._children: set[Process] = set()
        self._started = time.monotonic()
        self._stopping = asyncio.Event()
        self._code = 0

    async def run(self) -> int:
        """Run until stopped, or until every child has ended by itself. Return the exit code."""
        with signals_passed_to(self.stop, asyncio.get_running_loop()):
            async with anyio.create_task_group() as children:
                for number in range(1, self._count + 1):
                    children.start_soon(self._keep, number)
        return self._code

    def stop(self) -> None:
        """Let the children drain. Called again, let them end at once."""
        if not self._stopping.is_set():
            log.info(
                "Stopping: every worker process drains (running: %d). A second signal ends them at "
                "once.",
                len(self._children),
                extra={"event": "stopping"},
            )
        self._stop_children()

    def _stop_children(self) -> None:
        self._stopping.set()
        for child in self._children:
            with suppress(ProcessLookupError):  # it has just ended by itself
                child.terminate()

    async def _keep(self, number: int) -> None:
        """Keep one child running until it ends for good."""
        failures = 0
        while not self._stopping.is_set():
            started = time.monotonic()
            code = await self._run_child(number)
            if code == 0:
                return
            if self._stopping.is_set():
                # A child that SIGTERM ended while it was starting held nothing.
                self._code = max(self._code, 0 if code in _ENDED_EARLY else 1)
                return
            if code == 1 and time.monotonic() - self._started < self._startup:
                self._code = 1
                self._stop_children()
                return
            failures = 1 if time.monotonic() - started > _PROVEN else failures + 1
            pause = _RESTART.equal_jitter(failures)
            log.error(
                "Worker process %d ended by itself (exit code %d). A new one starts in %.1f s. "
                "The others recover what it held.",
                number,
                code,
                pause,
                extra={"event": "process_ended"},
            )
            with anyio.move_on_after(pause):
                await self._stopping.wait()

    async def _run_child(self, number: int) -> int:
        # A child that is being started when the signal comes would miss it.
        with anyio.CancelScope(shield=True):
            child = await anyio.open_process(
                self._command,
                stdin=subprocess.DEVNULL,
                stdout=None,
                stderr=None,
                env=self._environment,
                start_new_session=True,
            )
        self._children.add(child)
        log.info(
            "Worker process %d of %d: pid %d.",
            number,
            self._count,
            child.pid,
            extra={"event": "process_started"},
        )
        if self._stopping.is_set():
            with suppress(ProcessLookupError):
                child.terminate()
        try:
            return await child.wait()
        finally:
            self._children.discard(child)
