"""The demo's producer: pushes at an even pace and waits for each result. On the way it kills a
worker and edits an item.
"""

import asyncio
import random
import time
from typing import Any

from worker.broker.admin import QueueAdmin
from worker.client import Client
from worker.config.raw_items import exact
from worker.config.table import ConfigTable
from worker.demo.killing import Killed, kill_busiest, look_whether_back
from worker.demo.receiver import Receiver
from worker.demo.screen import ALL, Bars, Screen
from worker.demo.stage import Workers
from worker.demo.tally import Tally
from worker.demo.tenants import INITECH, TENANTS
from worker.jobs.result import Result

DELIVERIES = sum(tenant.deliveries for tenant in TENANTS)
_BATCH = 25
_PACE = 0.1  # seconds from one batch to the next
_PATIENCE = 60.0  # seconds from a push to its result


class Traffic:
    """All deliveries of the demo. `firsts` holds each tenant's first result, `killed` the worker
    that was killed.
    """

    def __init__(
        self,
        client: Client,
        table: ConfigTable,
        admin: QueueAdmin,
        receiver: Receiver,
        screen: Screen,
    ) -> None:
        self.tallies: dict[str, Tally] = {tenant.name: Tally() for tenant in TENANTS}
        self.firsts: dict[str, Result] = {}
        self.seconds: float = 0.0
        self._client = client
        self.killed: Killed | None = None
        self._table = table
        self._admin = admin
        self._receiver = receiver
        self._screen = screen
        self._following: set[asyncio.Task[Result]] = set()
        self._edited_at: float | None = None

    async def run(self, workers: Workers) -> None:
        """Push everything and wait for all results.

        Raise WorkerError when the workers end, TimeoutError where a result does not come.
        """
        totals = {ALL: DELIVERIES, **{tenant.name: tenant.deliveries for tenant in TENANTS}}
        batches = _batches()
        began = time.monotonic()
        try:
            with self._screen.bars(totals) as bars:
                for number, batch in enumerate(batches, start=1):
                    await self._push(batch)
                    if number == len(batches) // 2:
                        await self._edit()
                    if number >= len(batches) // 4 and self.killed is None:
                        await self._kill()
                    await self._watch(bars, workers, until=began + number * _PACE)
                while self._following or self._waits_for_jobs_back:
                    await self._watch(bars, workers, until=time.monotonic() + _PACE)
        finally:
            await self._forget()
        self.seconds = time.monotonic() - began

    @property
    def _waits_for_jobs_back(self) -> bool:
        return self.killed is not None and self.killed.back_after is None

    async def _push(self, batch: list[dict[str, Any]]) -> None:
        for job_id in await self._client.enqueue_many(batch):
            self._following.add(asyncio.create_task(self._client.result(job_id, _PATIENCE)))

    async def _watch(self, bars: Bars, workers: Workers, until: float) -> None:
        """Count the results that arrive until then, and show the counts."""
        if self.killed and await look_whether_back(self.killed, self._admin):
            after, held = self.killed.back_after, self.killed.held
            self._screen.say(
                f"\n  {after:.1f} s after the kill its {held} jobs are back in the queue:\n"
                "  its lease had ended, and another worker saw that."
            )
        while (left := until - time.monotonic()) > 0 and self._following:
            arrived, self._following = await asyncio.wait(
                self._following, timeout=left, return_when=asyncio.FIRST_COMPLETED
            )
            for task in arrived:
                self._count(task.result())
        if not self._following:
            await asyncio.sleep(max(0, until - time.monotonic()))
        workers.check()
        bars.show(
            self.tallies,
            {name: self._note(name, tally) for name, tally in self.tallies.items()},
        )

    def _count(self, result: Result) -> None:
        name = result.id.rpartition("-")[0]
        self.tallies[name].add(result)
        self.firsts.setdefault(name, result)
        if name == INITECH.name and self._edited_at:
            after = time.monotonic() - self._edited_at
            self._edited_at = None
            self._screen.say(
                f"  {after:.1f} s after the edit {name} has its first delivery; "
                "all that waited follow."
            )

    async def _kill(self) -> None:
        """Kill a worker that has jobs in its hands."""
        self.killed = await kill_busiest(self._admin)
        if self.killed:
            self._screen.say(
                f"\n  A worker is killed now (SIGKILL), with {self.killed.held} jobs in its hands."
                "\n  They wait until its lease ends."
            )

    async def _edit(self) -> None:
        """Correct the one item."""
        name = INITECH.name
        self._screen.say(
            f"\n  Half-way. {name} has had {self._receiver.failed[name]:,} attempts refused with "
            "401: its item holds\n  an old secret. The item is edited now; nothing is restarted."
        )
        await self._table.put(name, exact(INITECH.item(self._receiver.url, version=2)))
        self._edited_at = time.monotonic()

    def _note(self, name: str, tally: Tally) -> str:
        failed = self._receiver.failed[name]
        attempts = f"{failed:,} failed attempt{'' if failed == 1 else 's'}" if failed else ""
        buried = f"{tally.dead:,} buried" if tally.dead else ""
        return ", ".join(filter(None, (attempts, buried)))

    async def _forget(self) -> None:
        for task in self._following:
            task.cancel()
        await asyncio.gather(*self._following, return_exceptions=True)


def _batches() -> list[list[dict[str, Any]]]:
    """Return all deliveries in batches, the tenants mixed, in the same order each time."""
    jobs = [
        {
            "id": f"{tenant.name}-{number:04}",
            "handler": "deliver",
            "config": tenant.name,
            "payload": {"type": "order.paid", "data": {"order": number}},
        }
        for tenant in TENANTS
        for number in range(1, tenant.deliveries + 1)
    ]
    random.Random(0).shuffle(jobs)
    return [jobs[first : first + _BATCH] for first in range(0, len(jobs), _BATCH)]
