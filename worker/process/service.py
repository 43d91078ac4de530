"""The worker process: opens the connections, wires the parts, runs them, drains (see `drain`)."""

import asyncio
import logging
import os
import secrets
import socket
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import anyio

from worker.app import App
from worker.broker.outage import RedisOutage
from worker.broker.queue import Queue
from worker.connections import Connections, open_connections
from worker.errors import StartupError
from worker.execution.bad_configs import BadConfigs
from worker.execution.bound_handler import BoundHandler
from worker.execution.config_pace import ConfigPace
from worker.execution.config_step import ConfigStep
from worker.execution.defaults import JobDefaults
from worker.execution.error_reports import ErrorReports
from worker.execution.handler_step import HandlerStep, forks_contained
from worker.execution.hooks import Hooks
from worker.execution.job_tasks import JobTasks
from worker.execution.log_source import current_fields
from worker.execution.middleware import around
from worker.execution.outcomes import Outcomes
from worker.execution.pipeline import Pipeline
from worker.execution.threads import HandlerThreads
from worker.execution.time_limits import TimeLimits
from worker.jobs.clock import RedisClock
from worker.process.burst import Burst
from worker.process.drain import drain
from worker.process.exchange_loop import ExchangeLoop
from worker.process.heartbeat import Heartbeat
from worker.process.lifespan import AppLifespan
from worker.process.minute import MinuteLine
from worker.process.parts import Parts
from worker.process.readiness import wait_until_ready
from worker.process.recoverer import Recoverer
from worker.process.slots import Slots
from worker.process.suspects import Suspects
from worker.process.tally import Tally
from worker.runtime.alike_lines import counting_alike
from worker.runtime.log_lines import enable_own_loggers, records_have
from worker.runtime.signals import signals_passed_to
from worker.runtime.watchdog import Watchdog
from worker.settings import Settings

log: logging.Logger = logging.getLogger("worker")


@dataclass(frozen=True)
class Exit:
    """How the worker ended. If `stuck`, a handler can't be stopped: the process must end with
    os._exit().
    """

    code: int
    stuck: bool


class Service:
    """One worker process. `burst` ends it once nothing is pending, active or scheduled.

    `signals` says whether SIGTERM, SIGINT and SIGHUP drain it; without, `stop` does. Raise
    HandlerError for handlers whose types can't be used, and for a `state` without a lifespan.
    """

    def __init__(
        self,
        app: App,
        settings: Settings,
        *,
        burst: bool = False,
        signals: bool = True,
        hooks: Hooks | None = None,
    ) -> None:
        app.check()
        self.worker_id: str = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        self.hooks: Hooks = hooks or Hooks()
        self._app = app
        self._settings = settings
        self._burst = burst
        self._handles_signals = signals
        self._handlers = {
            name: BoundHandler(handler, settings.policy) for name, handler in app.handlers.items()
        }
        self._clock = RedisClock()
        self._threads = HandlerThreads(settings.concurrency)
        self._loops: list[ExchangeLoop] = []
        self._stops = 0
        self._stop = asyncio.Event()
        self._force = asyncio.Event()
        self._starting = anyio.CancelScope()

    async def run(self) -> Exit:
        """Work until stopped. Raise StartupError."""
        enable_own_loggers()  # the app may have configured logging as it was imported
        with self._signals_handled(), forks_contained(), records_have(self._log_fields):
            return await self._run()

    def _log_fields(self) -> dict[str, Any]:
        """What every log record of this process says: the worker, and in a handler its job."""
        return {**current_fields(), "worker": self.worker_id}

    async def _run(self) -> Exit:
        settings = self._settings
        lifespan = AppLifespan(self._app, self._stop.set, owns_process=self._handles_signals)
        async with open_connections(settings) as connections:
            try:
                with anyio.CancelScope() as self._starting:
                    if not self._stop.is_set():
                        await wait_until_ready(connections)
                        await lifespan.enter(max(0.1, settings.startup_timeout))
            except StartupError:
                if lifespan.is_stuck:
                    return Exit(1, stuck=True)
                raise
            ended = Exit(0, stuck=False)
            try:
                if self._stop.is_set():
                    log.info("Stopped before a job was claimed.", extra={"event": "stopped"})
                else:
                    ended = await self._serve(connections, lifespan.state)
            finally:
                with anyio.CancelScope(shield=True):
                    left = await lifespan.leave(settings.grace_period, self._force)
            return Exit(ended.code if left else 1, stuck=ended.stuck or lifespan.is_stuck)

    async def _serve(self, connections: Connections, state: Any) -> Exit:
        reports = self._hook_app(state)
        parts = self._wire(connections)
        self._loops += [
            ExchangeLoop(Queue(connections.broker, name, self.worker_id, self._clock), parts)
            for name in self._settings.queue
        ]
        with Watchdog(self._job_of, lease=self._settings.lease), counting_alike() as alike:
            ended = await self._work(parts, MinuteLine(self._loops, parts.tally, alike))
            return Exit(ended.code, stuck=not await reports.ended() or ended.stuck)

    def stop(self) -> None:
        """Drain and end; called again, end at once."""
        self._stops += 1
        if self._stops == 1:
            self._stop.set()
            self._starting.cancel()
        else:
            log.warning(
                "Stopping at once: running jobs are cancelled and given back.",
                extra={"event": "stopping_at_once"},
            )
            self._force.set()

    # -- wiring --------------------------------------------------------------------------------

    def _hook_app(self, state: Any) -> ErrorReports:
        """Pass the lifespan's state on, and register the app's middleware and `on_error`."""
        for handler in self._handlers.values():
            handler.give_state(state)
        self.hooks.around_run += [around(callback, state) for callback in self._app.middlewares]
        reports = ErrorReports(self._app.error_callbacks, state)
        if self._app.error_callbacks:
            self.hooks.failed.append(reports.failed)
        return reports

    def _wire(self, connections: Connections) -> Parts:
        settings, hooks = self._settings, self.hooks
        defaults = JobDefaults(
            settings.policy,
            settings.max_job_bytes,
            settings.max_result_bytes,
            settings.max_crashes,
            log_errors_in_full=settings.log_errors == "full",
        )
        # With one crash allowed every job is a suspect, and runs alone.
        slots = Slots(1 if settings.max_crashes == 1 else settings.concurrency)
        suspects = Suspects(slots, settings.lease, self._is_certain)
        outcomes = Outcomes(defaults, self.worker_id, self._clock, hooks.failed)
        limits = TimeLimits()
        pace = ConfigPace(slots.capacity)
        bad_configs = BadConfigs(
            keep=settings.config_invalid == "keep",
            ttl=settings.config_ttl,
            max_stale=settings.config_max_stale,
        )
        pipeline = Pipeline(
            self._handlers,
            outcomes,
            ConfigStep(connections.config, pace, outcomes, bad_configs),
            HandlerStep(outcomes, limits, self._threads, hooks),
            hooks,
            suspects.wait_alone,
        )
        return Parts(
            worker_id=self.worker_id,
            lease=settings.lease,
            outcomes=outcomes,
            slots=slots,
            suspects=suspects,
            tasks=JobTasks(pipeline, limits),
            config_pace=pace,
            outage=RedisOutage(hooks.event),
            hooks=hooks,
            tally=Tally(),
        )

    @property
    def held(self) -> int:
        """How many jobs it holds, those included whose outcome Redis has not yet confirmed."""
        return sum(len(loop.held) for loop in self._loops)

    def _is_certain(self) -> bool:
        return not any(loop.doubt for loop in self._loops)

    def _job_of(self, task: "asyncio.Task[object] | None") -> str | None:
        """Name the job that a task belongs to, for the watchdog's thread."""
        for loop in self._loops:
            for claimed in loop.held:
                batch = getattr(claimed, "batch", None)
                if claimed.task is task or (batch is not None and batch.task is task):
                    return str(batch or claimed)
        return None

    # -- working -------------------------------------------------------------------------------

    async def _work(self, parts: Parts, minute: MinuteLine) -> Exit:
        settings, loops, began = self._settings, self._loops, anyio.current_time()
        heartbeat = Heartbeat(loops, parts.outage, lease=settings.lease, every=settings.heartbeat)
        recoverer = Recoverer(loops, parts, every=settings.heartbeat)
        async with anyio.create_task_group() as group:
            for loop in loops:
                group.start_soon(loop.run, group)
            group.start_soon(heartbeat.run)
            group.start_soon(recoverer.run)
            group.start_soon(minute.run)
            if self._burst:
                group.start_soon(Burst(loops, parts.slots).run, self._stop.set)
            self._log_started()
            try:
                await self._stop.wait()
            finally:
                with anyio.CancelScope(shield=True):
                    self.hooks.event("stopping", worker=self.worker_id)
                    drained = await drain(loops, parts, settings.grace_period, self._force)
                group.cancel_scope.cancel()
        log.info(
            "Worker %s has stopped; %d jobs went back. In %.1f s it did: %s.",
            self.worker_id,
            drained.returned,
            anyio.current_time() - began,
            minute.total(),
            extra={"event": "stopped"},
        )
        stuck = bool(self._threads.left_behind or parts.tasks.uncancellable)
        return Exit(1 if self._force.is_set() or not drained.all_written else 0, stuck)

    def _log_started(self) -> None:
        log.info(
            "Worker %s takes jobs from %s, %d at a time; handlers: %s.",
            self.worker_id,
            ", ".join(self._settings.queue),
            self._settings.concurrency,
            ", ".join(sorted(self._handlers)),
            extra={"event": "started"},
        )
        self.hooks.event("started", worker=self.worker_id, queues=self._settings.queue)

    def _signals_handled(self) -> AbstractContextManager[None]:
        """SIGTERM, Ctrl-C and SIGHUP drain, also one that arrived while the process started."""
        if not self._handles_signals:
            return nullcontext()
        return signals_passed_to(self.stop, asyncio.get_running_loop())
