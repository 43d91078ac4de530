"""Keeps several worker processes going: starts, watches, restarts, passes signals on.

Each child is a whole worker that opens its own connections after its start; nothing is shared and
nothing is forked that was open. Children are in sessions of their own, so that Ctrl-C reaches them
through here and only once.
"""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

import anyio
from anyio.abc import Process

from worker.jobs.backoff import Backoff

log = logging.getLogger("worker")

_RESTART = Backoff(base=0.5, factor=2.0, max=30.0)
# Seconds. A child that lived so long is no child that can't start: its next restart is soon again.
_PROVEN = 30.0
_PARENT = "WORKER_SUPERVISOR_PID"


def processes(wanted: int | str) -> int:
    """How many processes `wanted` asks for: itself, or one for each core with 'auto'."""
    if wanted != "auto":
        return int(wanted)
    affinity = getattr(os, "sched_getaffinity", None)  # Linux; it knows of containers' limits
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def die_with_supervisor() -> None:
    """In a child: drain when the supervisor is gone, however it ended (Linux)."""
    parent = os.environ.get(_PARENT)
    if parent is None or sys.platform != "linux":
        return
    import ctypes  # noqa: PLC0415

    pr_set_pdeathsig = 1
    ctypes.CDLL(None).prctl(pr_set_pdeathsig, signal.SIGTERM)
    if os.getppid() != int(parent):
        raise SystemExit(1)


class Supervisor:
    """JobTasks `count` children of one command.

    `startup_timeout` is how long (seconds) a child may take to find that it can't start; when the
    first ones do so, all end, since the rest would too.
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
        self._environment = {**environment, _PARENT: str(os.getpid())}
        self._count = count
        # Once for Redis and the table and once for the app's lifespan. Then for Python's own start,
        # and for a cancelled lifespan to clean up.
        self._startup = 2 * startup_timeout + 10
        self._children: set[Process] = set()
        self._started = time.monotonic()
        self._signals = 0
        self._code = 0

    async def run(self) -> int:
        """Run until told to stop, or until every child has ended by itself; gives the exit code."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._pass_signals_on)
            async with anyio.create_task_group() as children:
                for number in range(1, self._count + 1):
                    children.start_soon(self._keep, number)
            group.cancel_scope.cancel()
        return self._code

    async def _keep(self, number: int) -> None:
        """Keep one child going until it ends for good."""
        failures = 0
        while not self._is_told_to_stop():
            started = time.monotonic()
            code = await self._run_child(number)
            if code == 0:
                return
            if self._is_told_to_stop():
                # Told before it could listen, it ends by the signal itself, and held nothing.
                self._code = max(self._code, 0 if code == -signal.SIGTERM else 1)
                return
            if code == 1 and time.monotonic() - self._started < self._startup:
                self._code = 1
                self._stop()
                return
            failures = 1 if time.monotonic() - started > _PROVEN else failures + 1
            pause = _RESTART.equal_jitter(failures)
            log.error(
                "Worker process %d ended by itself (exit code %d); a new one starts in %.1f s. "
                "What it held is recovered by the others.",
                number,
                code,
                pause,
            )
            await anyio.sleep(pause)

    def _is_told_to_stop(self) -> bool:
        return self._signals > 0

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
        log.info("Worker process %d of %d: pid %d.", number, self._count, child.pid)
        if self._signals:
            child.terminate()
        try:
            return await child.wait()
        finally:
            self._children.discard(child)

    async def _pass_signals_on(self) -> None:
        with anyio.open_signal_receiver(signal.SIGTERM, signal.SIGINT) as signals:
            async for _ in signals:
                self._stop()

    def _stop(self) -> None:
        """Once: children drain. Again: they end at once, which is theirs to know."""
        self._signals += 1
        for child in self._children:
            child.terminate()
