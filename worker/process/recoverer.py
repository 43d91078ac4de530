"""Gives a dead worker's active jobs back, job by job.

Any living worker may do it, two at once, and die half-way: Redis takes each job out of the dead
one's list only once, and only while its lease has ended.
"""

import logging
import random

import anyio

from worker.broker.errors import BROKER_DOWN
from worker.broker.queue import Queue
from worker.process.exchange_loop import ExchangeLoop
from worker.process.parts import Parts

log: logging.Logger = logging.getLogger("worker")

_PAGE = 100


class Recoverer:
    """Looks for dead workers at least every `every` seconds."""

    def __init__(self, loops: list[ExchangeLoop], parts: Parts, *, every: float) -> None:
        self._loops = loops
        self._parts = parts
        self._every = every

    async def run(self) -> None:
        """Recover until cancelled."""
        while True:
            for loop in self._loops:
                try:
                    await self.look(loop)
                except BROKER_DOWN as error:
                    log.debug("Looking for dead workers failed: %s; it is tried again.", error)
            # Spread, so that workers started together do not always look together.
            await anyio.sleep(self._every * random.uniform(0.7, 1.0))

    async def look(self, loop: ExchangeLoop) -> None:
        """Recover every worker of one queue whose lease has ended. Raises one of BROKER_DOWN."""
        for worker_id in await loop.queue.expired_workers():
            if worker_id == self._parts.worker_id:
                loop.doubt.raised(lease_ended=True)
                loop.wake()
            else:
                await self._recover(loop.queue, worker_id)

    async def _recover(self, queue: Queue, worker_id: str) -> None:
        # Suspects first, all in one step: Redis buries one of them only if it was alone in the
        # list, which could not be seen any more once the others are gone.
        suspects: list[bytes] = []
        first = 0
        while page := await queue.active(worker_id, first, _PAGE):
            is_suspect = self._parts.outcomes.holds_suspect
            suspects += [raw for raw in page if is_suspect(raw, queue.keys)]
            first += _PAGE
        count = 0
        if suspects:
            count += await self._give_back(queue, worker_id, suspects)
        # From the newest on: the oldest goes to the front last and so stands first.
        while page := await queue.active(worker_id, 0, _PAGE):
            given_back = await self._give_back(queue, worker_id, page)
            count += given_back
            if not given_back:
                break  # it is alive after all, or another recoverer is quicker
        else:
            await self._give_back(queue, worker_id, [])  # nothing left: Redis forgets it
        if count:
            log.warning(
                "Worker %s is dead: %d jobs that it held on %r were given back or buried. Look at "
                "its log, or its host, for why it ended.",
                worker_id,
                count,
                queue.name,
                extra={"event": "worker_recovered", "queue": queue.name},
            )
            self._parts.hooks.event(
                "worker_recovered", queue=queue.name, worker=worker_id, jobs=count
            )

    async def _give_back(self, queue: Queue, worker_id: str, jobs: list[bytes]) -> int:
        """Take these jobs out of the dead worker's list, in one step. Return how many it held."""
        outcomes = [self._parts.outcomes.after_crash(raw, queue.keys) for raw in jobs]
        reply = await queue.recover(worker_id, outcomes)
        if reply.live:
            return 0
        taken = [at for at in range(len(outcomes)) if at not in reply.refused]
        # A job that was alone in the dead worker's list: Redis has buried one of op `last`.
        if len(taken) == 1 and reply.held == 0 and outcomes[taken[0]].op == "last":
            self._parts.outcomes.buried_after_crash(outcomes[taken[0]].raw, queue.keys)
            self._parts.tally.buried_after_crash()
        return len(taken)
