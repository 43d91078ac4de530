"""Moves one queue's jobs between Redis and this worker.

Each turn is one script call that records finished outcomes and claims a job for each free slot.
Outcomes gather by themselves while a call is under way, so a lone job is recorded at once and a
flood in dozens. Only when there is nothing to claim does a blocking read wait beside the turns.
"""

import asyncio
import time

from anyio.abc import TaskGroup

from worker.broker.errors import BROKER_DOWN
from worker.broker.queue import Exchange, Queue
from worker.execution.claimed_job import ClaimedJob, JobState
from worker.process.doubt import Doubt
from worker.process.held import HeldJobs
from worker.process.pace import BatchSize
from worker.process.parts import Parts
from worker.process.slots import SlotUser
from worker.process.turn import Facts, next_step, plan

# Seconds. Below a second, so that a job that falls due meanwhile starts at most a second late;
# long enough that an idle worker sends hardly more than two commands a second.
BLOCK = 0.9


class ExchangeLoop:
    """The loop of one queue. `run` ends when cancelled; see `drain` for the order of shutdown."""

    def __init__(self, queue: Queue, parts: Parts) -> None:
        self.queue = queue
        self._woken = asyncio.Event()
        self.held: HeldJobs = HeldJobs(
            queue.keys, parts.slots, self._woken.set, parts.suspects.gone
        )
        self.doubt: Doubt = Doubt(queue, self.held, parts)
        self.has_seen_queue_empty: bool = False
        self._slots = parts.slots
        self._tasks = parts.tasks
        self._config_pace = parts.config_pace
        self._outage = parts.outage
        self._tally = parts.tally
        self._recorded_hooks = parts.hooks.recorded
        self._batch_size = BatchSize(parts.slots.capacity)
        self._slot_user = SlotUser(self.wake)
        self._reading = False
        self._read_wanted = asyncio.Event()
        self._read_seconds: float = BLOCK
        self._in_turn = False

    def wake(self) -> None:
        """Take a turn: something has changed."""
        self._woken.set()

    @property
    def is_quiet(self) -> bool:
        """Whether nothing is on its way to Redis, or from it."""
        return not (self.held.unsent or self._reading or self._in_turn)

    async def run(self, group: TaskGroup) -> None:
        """Take turns until cancelled. Blocking reads have a task of their own in `group`."""
        group.start_soon(self._keep_reading)
        fresh: list[ClaimedJob] = []  # claimed by the last turn, started once the next is written
        self.wake()
        while True:
            if not fresh:
                await self._woken.wait()
                if self._tasks.running:
                    # Jobs that have just been started mostly end within the same turn of the event
                    # loop; their outcomes go with this exchange instead of the next.
                    await asyncio.sleep(0)
            self._woken.clear()
            self._in_turn = True
            try:
                fresh = await self._turn(fresh)
            except BROKER_DOWN as error:
                fresh = []
                self.doubt.raised()
                await asyncio.sleep(self._outage.failed(error))
                self.wake()
            finally:
                self._in_turn = False

    # -- a turn --------------------------------------------------------------------------------

    async def _turn(self, fresh: list[ClaimedJob]) -> list[ClaimedJob]:
        """Do what `plan` says. Return jobs to start once the next exchange is written."""
        turn = plan(self._facts())
        if turn.wake_after:
            self._wake_after(turn.wake_after)
        if turn.action == "exchange":
            return await self._exchange(turn.limit, fresh)
        self._tasks.start(fresh)
        if turn.action == "reconcile":
            self._admit(await self.doubt.reconcile())
            self._outage.over()
            self.wake()
        return []

    def _facts(self) -> Facts:
        pause, unsent, free = self._config_pace.pause, self.held.unsent, 0
        if pause > 0:
            self._slots.step_back(self._slot_user)
        elif not (self.doubt or self._reading):
            free = self._slots.free_for(self._slot_user, unsent)
            pause = self._config_pace.gather(free)
        return Facts(
            reconciled=not self.doubt,
            reading=self._reading,
            unsent=unsent,
            free=free,
            batch=self._batch_size.most(self._config_pace.ready_in_a_row),
            pause=pause,
        )

    async def _exchange(self, limit: int, fresh: list[ClaimedJob]) -> list[ClaimedJob]:
        began = time.monotonic()
        with self.held.sending() as sent, self._slots.take(limit) as taken:
            outcomes = [job.outcome for job in sent if job.outcome is not None]
            self.doubt.unanswered(sent)
            try:
                answer = await self.queue.send(outcomes, limit)
            finally:
                self._tasks.start(fresh)  # Redis works on this exchange while these begin
            reply = await answer
            self.doubt.unanswered([])
            taken.keep(len(reply.jobs))
        self._batch_size.exchanged(time.monotonic() - began, reply.jobs)
        self._outage.over()
        claimed = self.held.add(reply.jobs)
        self._report(sent, reply)
        agrees = reply.live and (self._reading or reply.held == len(self.held))
        step = next_step(limit, len(claimed), agrees=agrees)
        if step == "again" and not self._slots.is_closed:
            return claimed
        self._admit(claimed)
        if step == "reconcile":
            self.doubt.raised(lease_ended=not reply.live)
            self.wake()
        elif step == "wait":
            self._wait_for_jobs(reply.next_due)
        return []

    def _report(self, sent: list[ClaimedJob], reply: Exchange) -> None:
        """Pass on what Redis confirmed and what it refused."""
        if reply.refused:
            self.doubt.refused([sent[index] for index in reply.refused], lease_live=reply.live)
        if reply.complaints:
            self.doubt.complained({sent[at]: text for at, text in reply.complaints.items()})
        self._tally.recorded(sent, reply.refused)
        if self._recorded_hooks:
            refused = set(reply.refused)
            for index, claimed in enumerate(sent):
                if index not in refused and claimed.outcome is not None:
                    for hook in self._recorded_hooks:
                        hook(claimed, claimed.outcome)

    def _admit(self, claimed: list[ClaimedJob]) -> None:
        """Start jobs that have just arrived; give them back while draining."""
        if self._slots.is_closed:
            for job in claimed:
                self.held.give_back(job)
        else:
            self._tasks.start(claimed)

    # -- waiting -------------------------------------------------------------------------------

    def _wait_for_jobs(self, next_due_ms: int) -> None:
        """All that was pending is claimed: wait for more, beside the turns."""
        self.has_seen_queue_empty = True
        due = BLOCK if next_due_ms < 0 else next_due_ms / 1000
        block = max(0.005, min(BLOCK, due))
        if self._slots.has_spare:
            self._reading, self._read_seconds = True, block
            self._read_wanted.set()
        else:  # other queues need the slot: look again instead of holding it
            self._wake_after(block)

    async def _keep_reading(self) -> None:
        """Read whenever a turn asks for it. One task for all reads: a new one for each would
        delay each job of an idle worker by a tenth of its way.
        """
        while True:
            await self._read_wanted.wait()
            self._read_wanted.clear()
            await self._read()

    async def _read(self) -> None:
        """Wait for one job. Never cancelled before the drain has ended: Redis may have moved it."""
        jobs: list[bytes] = []
        with self._slots.take(1) as taken:
            try:
                job = await self.queue.wait(self._read_seconds)
            except BROKER_DOWN:
                self.doubt.raised()  # Redis may have moved a job all the same
            else:
                jobs = [job] if job is not None else []
                taken.keep(len(jobs))
        self._reading = False
        self._admit(self.held.add(jobs))
        self.wake()

    def _wake_after(self, seconds: float) -> None:
        asyncio.get_running_loop().call_later(seconds, self.wake)

    # -- heartbeat and drain -------------------------------------------------------------------

    def lease_checked(self, held: int | None) -> None:
        """Take what the heartbeat found: how many jobs the active list holds, None: lease ended.

        A claim we timed out on may still reach Redis while all slots are busy. Without this check
        its jobs stay unnoticed until a running job ends.
        """
        if held is None:
            self.doubt.raised(lease_ended=True)
        else:
            self.doubt.renewed()
            if self._in_turn or self._reading or held == len(self.held):
                return
            self.doubt.raised()
        self.wake()

    def waiting_jobs(self) -> list[ClaimedJob]:
        """The jobs whose handler has not begun, in the order of their claims."""
        return [job for job in self.held if job.state is JobState.WAITING]
