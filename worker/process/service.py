"""The worker: opens the connections, wires the parts, runs them, drains.

The order of shutdown, at the first signal, or when a burst is done:

1. Claiming stops. A blocking read under way is left to end by itself, within a second: Redis may
   have moved a job already. Whatever it brings goes straight back.
2. Claimed jobs that have not started go back to the front, in their order.
3. Running jobs get the grace period. A second signal ends it.
4. What still runs is cancelled, and gets a moment to clean up.
5. The last outcomes are written.
6. Whatever the active list still holds goes back to the front, and the lease is handed in: one
   step in Redis.
7. The heartbeat stops, the connections are closed.

The heartbeat outlives everything that holds jobs.
"""

import asyncio
import logging
import os
import secrets
import signal
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

import anyio
from redis.exceptions import RedisError

from worker.app import App
from worker.broker.outage import RedisOutage
from worker.broker.queue import Queue
from worker.connections import Connections, open_connections
from worker.execution.bound_handler import BoundHandler
from worker.execution.claimed_job import ClaimedJob, StopReason
from worker.execution.executor import Executor, JobDefaults
from worker.execution.job_tasks import STUBBORN_AFTER
from worker.jobs.clock import RedisClock
from worker.process.exchange_loop import Pump
from worker.process.heartbeat import Heartbeat
from worker.process.readiness import wait_until_ready
from worker.process.recoverer import Recoverer
from worker.process.slots import Slots
from worker.runtime.watchdog import Watchdog
from worker.settings import Settings

log = logging.getLogger("worker")

_LAST_WRITES = 5.0  # seconds to write the last outcomes, with Redis away
_POLL = 0.02  # seconds between looks at whether draining is done


@dataclass(frozen=True)
class Exit:
    """How the worker ended. `stuck` tells that a handler can't be stopped: the process has to be
    left the hard way.
    """

    code: int
    stuck: bool


class Service:
    """One worker process. `burst` ends it once nothing is pending, active or scheduled."""

    def __init__(self, app: App, settings: Settings, *, burst: bool = False) -> None:
        self.worker = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self._settings = settings
        self._burst = burst
        self._handlers = {
            name: BoundHandler(handler, settings.policy) for name, handler in app.handlers.items()
        }
        self._signals = 0
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._starting = anyio.CancelScope()
        self._outage = RedisOutage()
        self._holdings = Slots(1 if settings.max_crashes == 1 else settings.concurrency)
        self._clock = RedisClock()
        limits = JobDefaults(
            settings.policy,
            settings.max_job_bytes,
            settings.max_result_bytes,
            settings.max_crashes,
        )
        self._executor = Executor(
            self._handlers, limits, self.worker, self._clock, settings.concurrency
        )
        self._idle: set[Pump] = set()

    async def run(self) -> Exit:
        """Work until told to stop. Raises StartupError."""
        async with self._signals_handled(), open_connections(self._settings) as connections:
            with anyio.CancelScope() as self._starting:
                await wait_until_ready(connections)
            if self._stop.is_set():
                return Exit(0, stuck=False)
            pumps = [self._pump(connections, name) for name in self._settings.queue]
            with Watchdog(lambda task: _run_of(pumps, task), lease=self._settings.lease):
                return await self._work(pumps)

    def stop(self) -> None:
        """Drain and end; called again, end at once."""
        self._signals += 1
        if self._signals == 1:
            log.info("Stopping: nothing more is claimed, running jobs get their grace period.")
            self._stop.set()
            self._starting.cancel()
        else:
            log.warning("Stopping at once: running jobs are cancelled and given back.")
            self._force.set()

    def _pump(self, connections: Connections, name: str) -> Pump:
        return Pump(
            Queue(connections.broker, name, self.worker, self._clock),
            self._holdings,
            self._executor,
            connections.config,
            self._outage,
            lease=self._settings.lease,
            on_idle=self._on_idle,
        )

    async def _work(self, pumps: list[Pump]) -> Exit:
        settings = self._settings
        heartbeat = Heartbeat(pumps, self._outage, lease=settings.lease, every=settings.heartbeat)
        recoverer = Recoverer(pumps, self._executor, self.worker, every=settings.heartbeat)
        async with anyio.create_task_group() as group:
            for pump in pumps:
                group.start_soon(pump.run, group)
            group.start_soon(heartbeat.run)
            group.start_soon(recoverer.run)
            if self._burst:
                group.start_soon(self._watch_burst, pumps)
            log.info(
                "Worker %s takes jobs from %s, %d at a time; handlers: %s.",
                self.worker,
                ", ".join(settings.queue),
                settings.concurrency,
                ", ".join(sorted(self._handlers)),
            )
            try:
                await self._stop.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    exit_ = await self._drain(pumps)
                group.cancel_scope.cancel()
        return exit_

    # -- draining ------------------------------------------------------------------------------

    async def _drain(self, pumps: list[Pump]) -> Exit:
        self._holdings.closed = True
        returned = sum(pump.give_back_waiting() for pump in pumps)
        await self._wait_for_runs(pumps)
        returned += await self._cancel_runs(pumps)
        deadline = anyio.current_time() + _LAST_WRITES
        with anyio.CancelScope(deadline=deadline):
            await _until(lambda: all(pump.is_drained for pump in pumps))
        handed_in = await self._leave(pumps, deadline + 1)
        stuck = bool(self._executor.threads_left_behind) or any(p.runs.stubborn for p in pumps)
        log.info("Worker %s has stopped; %d jobs went back.", self.worker, returned)
        return Exit(1 if self._force.is_set() or not handed_in else 0, stuck)

    async def _wait_for_runs(self, pumps: list[Pump]) -> None:
        """Give running jobs their grace period, or as much of it as the second signal leaves."""
        with anyio.move_on_after(self._settings.grace_period):
            await _until(
                lambda: self._force.is_set() or not any(pump.runs.running for pump in pumps)
            )

    async def _cancel_runs(self, pumps: list[Pump]) -> int:
        """Cancel what still runs and let it clean up; tells how many jobs. They stay in the active
        list until we leave, which gives them back.
        """
        running = [(pump, run) for pump in pumps for run in pump.runs.running]
        for pump, run in running:
            pump.runs.cancel(run, StopReason.RETURNED)
        with anyio.move_on_after(STUBBORN_AFTER + 1):
            await _until(lambda: not any(pump.runs.running for pump in pumps))
        return len(running)

    async def _leave(self, pumps: list[Pump], deadline: float) -> bool:
        """Hand in the leases; tried again while Redis is away, since a job that is not given back
        now is taken for one that killed its worker.
        """
        with anyio.CancelScope(deadline=deadline):
            for pump in pumps:
                await self._leave_queue(pump.queue)
            return True
        log.error(
            "The lease could not be handed in: what this worker holds is recovered by another "
            "once its lease has ended, in %g s at most.",
            self._settings.lease,
        )
        return False

    async def _leave_queue(self, queue: Queue) -> None:
        while True:
            try:
                await queue.leave()
            except (RedisError, OSError) as error:
                await anyio.sleep(self._outage.failed(error))
            else:
                return

    # -- when to stop --------------------------------------------------------------------------

    def _on_idle(self, pump: Pump) -> None:
        self._idle.add(pump)

    async def _watch_burst(self, pumps: list[Pump]) -> None:
        """End once nothing is left anywhere."""
        while True:
            await anyio.sleep(0.1)
            if self._holdings.count or len(self._idle) < len(pumps):
                continue
            try:
                if all([await pump.queue.is_finished() for pump in pumps]):
                    self._stop.set()
                    return
            except (RedisError, OSError) as error:
                log.debug("Whether the queue is empty can't be told: %s", error)

    @asynccontextmanager
    async def _signals_handled(self) -> AsyncIterator[None]:
        """SIGTERM and Ctrl-C drain; the handlers that were there before come back."""
        loop = asyncio.get_running_loop()
        numbers = (signal.SIGTERM, signal.SIGINT)
        before = [signal.getsignal(number) for number in numbers]
        for number in numbers:
            loop.add_signal_handler(number, self.stop)
        try:
            yield
        finally:
            for number, handler in zip(numbers, before, strict=True):
                loop.remove_signal_handler(number)
                signal.signal(number, handler)


async def _until(condition: Callable[[], bool]) -> None:
    """Look until it holds: while draining, simpler than an event from every place that counts."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(_POLL)


def _run_of(pumps: list[Pump], task: "asyncio.Task[object] | None") -> ClaimedJob | None:
    return next((run for pump in pumps if (run := pump.runs.run_of(task))), None)
