"""Gives a dead worker's active jobs back, job by job.

Any living worker may do it, two at once, and die half-way: Redis takes each job out of the dead
one's list only once, and only while its lease has ended.
"""

import logging
import random

import anyio
from redis.exceptions import RedisError

from worker.broker.queue import Queue
from worker.execution.executor import Executor
from worker.process.exchange_loop import Pump

log = logging.getLogger("worker")

_PAGE = 100


class Recoverer:
    """Looks for the dead at least every `every` seconds."""

    def __init__(self, pumps: list[Pump], executor: Executor, worker: str, *, every: float) -> None:
        self._pumps = pumps
        self._executor = executor
        self._worker = worker
        self._every = every

    async def run(self) -> None:
        """Recover until cancelled."""
        while True:
            for pump in self._pumps:
                try:
                    await self._look(pump)
                except (RedisError, OSError) as error:
                    log.debug("Looking for dead workers failed: %s; it is tried again.", error)
            # Workers started together must not look together for ever.
            await anyio.sleep(self._every * random.uniform(0.7, 1.0))

    async def _look(self, pump: Pump) -> None:
        for worker in await pump.queue.lapsed():
            if worker == self._worker:
                pump.doubt()
            else:
                await self._recover(pump.queue, worker)

    async def _recover(self, queue: Queue, worker: str) -> None:
        # Those one crash short of burial first, all in one step: Redis buries one of them only if
        # it was alone, which could not be told once the others are gone.
        suspects: list[bytes] = []
        first = 0
        while page := await queue.active(worker, first, _PAGE):
            suspects += [raw for raw in page if self._executor.holds_suspect(raw, queue.keys)]
            first += _PAGE
        count = 0
        if suspects:
            count += await self._give_back(queue, worker, suspects)
        # From the newest on: the oldest goes to the front last and so stands first.
        while page := await queue.active(worker, 0, _PAGE):
            given_back = await self._give_back(queue, worker, page)
            count += given_back
            if not given_back:
                break  # it is alive after all, or another recoverer is quicker
        else:
            await self._give_back(queue, worker, [])  # nothing left: Redis forgets it
        if count:
            log.warning(
                "Worker %s is dead: %d jobs that it held on %r were given back or buried.",
                worker,
                count,
                queue.name,
            )

    async def _give_back(self, queue: Queue, worker: str, jobs: list[bytes]) -> int:
        """Take these jobs out of the dead one's list, in one step; tells how many were there."""
        outcomes = [self._executor.after_crash(raw, queue.keys) for raw in jobs]
        reply = await queue.recover(worker, outcomes)
        return 0 if reply.live else len(outcomes) - len(reply.refused)
