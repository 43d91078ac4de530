"""One queue's way in and out: turn after turn, settle what is decided and claim what there is room
for.

Outcomes gather by themselves while an exchange is under way, so a lone job is settled at once and a
flood in dozens. Only when there is nothing to claim does a blocking read wait beside the turns.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable

import anyio
from anyio.abc import TaskGroup
from redis.exceptions import RedisError

from worker.broker.outage import RedisOutage
from worker.broker.queue import Exchange, Queue
from worker.config.store import ConfigStore
from worker.errors import ConfigUnavailable
from worker.execution.claimed_job import ClaimedJob, StopReason
from worker.execution.executor import Executor
from worker.execution.job_tasks import JobTasks
from worker.jobs.backoff import Backoff
from worker.jobs.config_item import ConfigItem
from worker.jobs.outcome import Outcome, later, requeue
from worker.process.pace import Pace
from worker.process.slots import Entry, Slots

log = logging.getLogger("worker")

# Seconds. Below a second, so that a job that falls due meanwhile starts at most a second late;
# long enough that an idle worker sends hardly more than two commands a second.
BLOCK = 0.9
# How long jobs whose config can't be had wait.
_POSTPONE = Backoff(base=1.0, factor=2.0, max=30.0)


class Pump:
    """Moves one queue's jobs. `held` is what Redis's active list must hold, as far as we know."""

    def __init__(
        self,
        queue: Queue,
        holdings: Slots,
        executor: Executor,
        config: ConfigStore,
        outage: RedisOutage,
        *,
        lease: float,
        on_idle: Callable[["Pump"], None],
    ) -> None:
        self.queue = queue
        self.held: dict[Entry, None] = {}  # a set in the order of the claims
        self.runs = JobTasks(executor, self._settle)
        self._holdings = holdings
        self._executor = executor
        self._config = config
        self._outage = outage
        self._lease = lease
        self._on_idle = on_idle
        self._outcomes: list[tuple[Entry, Outcome]] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._listening = False
        self._in_turn = False
        self._block = BLOCK
        self._arrived: list[bytes] = []  # claimed, and taken in as soon as the next turn has begun
        # Whether the active list may hold something else than we think: it does at the start,
        # after a reply that did not arrive, and after the lease was lost.
        self._doubt = True
        self._pace = Pace(holdings.concurrency)
        # Whether any job has got its config since a look-up was last answered.
        self._any_started = False
        self._group: TaskGroup | None = None
        holdings.join(self._wake.set)

    async def run(self, group: TaskGroup) -> None:
        """Take turns until cancelled."""
        self._group = group
        group.start_soon(self._listen)
        self._wake.set()
        while True:
            await self._wake.wait()
            self._wake.clear()
            if self.runs.running and not self._arrived:
                # Jobs that have just been started mostly end within the same turn of the loop;
                # what they leave behind goes with this exchange instead of the next.
                await asyncio.sleep(0)
            self._in_turn = True
            try:
                await self._turn()
            except (RedisError, OSError) as error:
                self._doubt = True
                await asyncio.sleep(self._outage.failed(error))
                self._wake.set()
            finally:
                self._in_turn = False

    def doubt(self) -> None:
        """Look into the active list before the next exchange: the lease was lost."""
        self._doubt = True
        self._wake.set()

    def heard(self, held: int | None) -> None:
        """The heartbeat's news: so many jobs are in the active list; None where the lease is lost.

        A claim that was held on its way, and given up, may reach Redis when we have no room: no
        exchange would tell of its jobs before one that runs has ended.
        """
        if held is None or not (self._in_turn or self._listening or held == self._known):
            self.doubt()

    @property
    def _known(self) -> int:
        return len(self.held) + len(self._arrived)

    @property
    def is_drained(self) -> bool:
        """Whether nothing is on its way to Redis, or from it."""
        return not (self._outcomes or self._arrived or self._listening or self._in_turn)

    def give_back_waiting(self) -> int:
        """Give back what has not started, to the front and in its order; tells how many jobs."""
        waiting = [run for run in self.held if isinstance(run, ClaimedJob) and not run.over]
        waiting = [run for run in waiting if run.task is None]
        # The last to go to the front stands first there: newest claims first.
        for run in reversed(waiting):
            run.over = True
            self._outcomes.append((run, requeue(run.raw)))
        self._wake.set()
        return len(waiting)

    # -- turns ---------------------------------------------------------------------------------

    async def _turn(self) -> None:
        in_doubt = self._doubt
        if in_doubt:
            if self._listening:
                return  # the blocking read may bring something yet; its end wakes us
            await self._reconcile()
        self._try_suspect()
        outcomes, self._outcomes = self._outcomes, []
        limit = self._claimable(len(outcomes))
        if not outcomes and not limit:
            if in_doubt:
                self._outage.over()
            return
        self._holdings.reserved += limit
        sent = time.monotonic()
        try:
            reply = await self.queue.exchange([outcome for _, outcome in outcomes], limit)
        except BaseException:
            self._outcomes = outcomes + self._outcomes
            raise
        finally:
            self._release(limit)
        self._pace.exchanged(time.monotonic() - sent, reply.jobs)
        self._outage.over()
        self._settled(outcomes, reply)
        there_is_more = 0 < limit <= len(reply.jobs)
        if there_is_more and not self._holdings.closed:
            self._arrive(reply.jobs)
        else:
            self._admit(reply.jobs)
        if not reply.live or (not self._listening and reply.held != self._known):
            self.doubt()
        elif there_is_more:
            self._wake.set()
        elif limit:
            self._nothing_more(reply)

    def _claimable(self, leaving: int) -> int:
        """How many jobs to ask for, given that so many leave in the same exchange."""
        if self._listening:
            return 0
        wait = self._pace.wait
        if wait > 0:
            self._holdings.step_back(self._wake.set)
            asyncio.get_running_loop().call_later(wait, self._wake.set)
            return 0
        return self._pace.at_most(self._holdings.room(self._wake.set, leaving))

    def _settled(self, outcomes: list[tuple[Entry, Outcome]], reply: Exchange) -> None:
        for index in reply.refused:
            log.warning(
                "A result was not recorded: its job is no longer this worker's, since it was given "
                "back or settled before. Whoever holds it now decides.%s",
                _named(outcomes[index][0]),
            )
        for index, message in reply.complaints.items():
            log.error(
                "Redis did not take a result for its reply_to or channel: %s. The result itself "
                "is recorded.%s",
                message,
                _named(outcomes[index][0]),
            )
        for entry, _ in outcomes:
            self._forget(entry)
        if outcomes:
            self._made_room()

    def _nothing_more(self, reply: Exchange) -> None:
        """All that was pending is claimed: wait for more beside the turns."""
        self._on_idle(self)
        if self._pace.wait > 0:
            self._wake.set()
            return
        due = BLOCK if reply.next_due < 0 else reply.next_due / 1000
        self._block = max(0.005, min(BLOCK, due))
        if self._holdings.spare:
            self._listening = True
            self._holdings.reserved += 1
            self._idle.set()
        else:  # others need the place: look again instead of waiting on it
            asyncio.get_running_loop().call_later(self._block, self._wake.set)

    async def _listen(self) -> None:
        """Wait for one job with a blocking read whenever there was nothing to claim."""
        while True:
            await self._idle.wait()
            self._idle.clear()
            job = None
            try:
                job = await self.queue.wait(self._block)
            except (RedisError, OSError):
                # Redis may have moved a job all the same.
                self._doubt = True
            self._listening = False
            self._release(1)
            if job is not None:
                self._admit([job])
            self._wake.set()

    def _release(self, reserved: int) -> None:
        self._holdings.reserved -= reserved
        if reserved:
            self._holdings.tell_room()

    # -- what comes in -------------------------------------------------------------------------

    def _arrive(self, jobs: list[bytes]) -> None:
        """Take in claimed jobs once the next exchange is written: Redis works while they run."""
        self._arrived += jobs
        self._holdings.reserved += len(jobs)
        asyncio.get_running_loop().call_soon(self._take_in)

    def _take_in(self) -> None:
        jobs, self._arrived = self._arrived, []
        try:
            self._admit(jobs)
        finally:
            self._release(len(jobs))

    def _admit(self, jobs: list[bytes]) -> None:
        """Take in claimed jobs: start those whose config is remembered, load it for the rest."""
        to_load: list[ClaimedJob] = []
        for raw in jobs:
            entry = self._executor.admit(raw, self.queue.keys)
            self.held[entry] = None
            self._holdings.count += 1
            if isinstance(entry, Outcome):
                self._decide(entry, entry)
            elif self._holdings.closed:
                # Ahead of what is older: the last to go to the front stands first there.
                self._decide(entry, requeue(raw), first=True)
            elif self._executor.is_suspect(entry.job):
                self._set_aside(entry)
            else:
                item = self._config.remembered(
                    entry.job.config, confirm_absence=entry.job.names_config
                )
                if item is None:
                    to_load.append(entry)
                else:
                    self._start(entry, item)
        if jobs:
            self._pace.admitted(at_once=not to_load)
        if to_load and self._group is not None:
            self._group.start_soon(self._load, to_load)

    async def _load(self, runs: list[ClaimedJob]) -> None:
        wanted: dict[str, bool] = {}
        for run in runs:
            wanted[run.job.config] = wanted.get(run.job.config, False) or run.job.names_config
        items: dict[str, ConfigItem | ConfigUnavailable] = {}

        async def load(key: str, confirm_absence: bool) -> None:
            try:
                items[key] = await self._config.load(key, confirm_absence=confirm_absence)
            except ConfigUnavailable as error:
                items[key] = error

        async with anyio.create_task_group() as group:
            for key, confirm_absence in wanted.items():
                group.start_soon(load, key, confirm_absence)
        failed = sum(isinstance(item, ConfigUnavailable) for item in items.values())
        for run in runs:
            item = items[run.job.config]
            if run.over:
                continue
            if isinstance(item, ConfigItem):
                self._start(run, item)
            else:
                delay = _POSTPONE.equal_jitter(max(1, self._config.failures))
                self._decide(run, self._executor.postpone(run, item, delay))
        if failed == len(items) and not self._any_started:
            self._pace.slow_down()
        else:
            self._pace.speed_up()
            self._wake.set()
        self._any_started = False

    def _start(self, run: ClaimedJob, item: ConfigItem) -> None:
        self._any_started = True
        outcome = self._executor.configure(run, item, stale=self._config.is_stale(item))
        if outcome is not None:
            self._decide(run, outcome)
        else:
            self.runs.start(run)

    def _set_aside(self, run: ClaimedJob) -> None:
        """Keep a suspect until it is all that we hold; a second one has to go elsewhere."""
        if self._holdings.hold_suspect(run):
            self._wake.set()
            # Long jobs beside it may keep it waiting: after a lease, somebody else may try.
            asyncio.get_running_loop().call_later(self._lease, self._pass_on, run)
        else:
            self._decide(run, requeue(run.raw))

    def _try_suspect(self) -> None:
        run = self._holdings.release_suspect() if self._holdings.suspect in self.held else None
        if run is not None and not run.over and self._group is not None:
            self._group.start_soon(self._load, [run])

    def _pass_on(self, run: ClaimedJob) -> None:
        holdings = self._holdings
        if holdings.suspect is run and not holdings.suspect_released and not run.over:
            self._decide(run, later(run.raw, run.raw, self._lease))

    # -- what goes out -------------------------------------------------------------------------

    def _settle(self, run: ClaimedJob, outcome: Outcome | None) -> None:
        """A run has ended. Without an outcome it was lost, or is given back when we leave."""
        if outcome is not None:
            self._outcomes.append((run, outcome))
            self._wake.set()
        elif run.verdict is StopReason.LOST:
            self._made_room()

    def _decide(self, entry: Entry, outcome: Outcome, *, first: bool = False) -> None:
        if isinstance(entry, ClaimedJob):
            entry.over = True
        self._outcomes.insert(0 if first else len(self._outcomes), (entry, outcome))
        self._wake.set()

    def _forget(self, entry: Entry) -> None:
        if entry in self.held:
            del self.held[entry]
            self._holdings.count -= 1
        if self._holdings.suspect is entry:
            self._holdings.suspect = None

    def _made_room(self) -> None:
        self._wake.set()
        self._holdings.tell_room()

    # -- when in doubt -------------------------------------------------------------------------

    async def _reconcile(self) -> None:
        """Take the lease (anew), and make what we know agree with what the active list holds."""
        jobs = await self.queue.register(self._lease)
        self._doubt = False
        listed = Counter(jobs)
        lost = []
        # Of twins, jobs of the same bytes, the one with an outcome is the one that may be gone.
        decided = {entry for entry, _ in self._outcomes}
        for entry in sorted(self.held, key=decided.__contains__):
            if listed[entry.raw]:
                listed[entry.raw] -= 1
            else:
                lost.append(entry)
        for entry in lost:
            self._lose(entry)
        if lost:
            log.warning(
                "%d jobs are no longer this worker's: given back while its lease had ended, or "
                "recorded without our hearing of it. Their handlers are cancelled.",
                len(lost),
            )
            self._made_room()
        unknown = list(listed.elements())
        if unknown:
            log.warning(
                "%d jobs were claimed without our hearing of it; they run now.", len(unknown)
            )
            self._admit(unknown)

    def _lose(self, entry: Entry) -> None:
        self._forget(entry)
        self._outcomes = [
            (other, outcome) for other, outcome in self._outcomes if other is not entry
        ]
        if isinstance(entry, ClaimedJob) and not entry.over:
            if entry.task is None:
                entry.over = True
            else:
                self.runs.cancel(entry, StopReason.LOST)


def _named(entry: Entry) -> str:
    return (
        f" Job {entry.job.id!r} ({entry.job.handler!r})." if isinstance(entry, ClaimedJob) else ""
    )
