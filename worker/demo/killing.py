"""The worst that happens to a worker: it is killed on the way, with jobs in its hands."""

import os
import signal
import time
from dataclasses import dataclass

from worker.broker.admin import QueueAdmin, WorkerStatus

_ENOUGH = 5  # jobs that a worker must hold, for its end to show anything


@dataclass
class Killed:
    """A killed worker: its id and how many jobs it held. `back_after` is how many seconds later
    Redis had given them all back, None while it has not.
    """

    id: str
    held: int
    at: float
    back_after: float | None = None


async def kill_busiest(admin: QueueAdmin) -> Killed | None:
    """Kill the process of the worker that holds most jobs. None: no worker holds enough now."""
    busiest = max(await _workers(admin), key=lambda each: each.held, default=None)
    if busiest is None or busiest.held < _ENOUGH:
        return None
    os.kill(_pid(busiest.id), signal.SIGKILL)
    at = time.monotonic()
    # What it holds now stays in its hands until its lease has ended.
    held = next((each.held for each in await _workers(admin) if each.id == busiest.id), 0)
    return Killed(busiest.id, held, at)


async def look_whether_back(killed: Killed, admin: QueueAdmin) -> bool:
    """Return whether its jobs have been given back since the last look."""
    if killed.back_after is not None or any(each.id == killed.id for each in await _workers(admin)):
        return False
    killed.back_after = time.monotonic() - killed.at
    return True


async def _workers(admin: QueueAdmin) -> list[WorkerStatus]:
    return (await admin.status()).workers


def _pid(worker_id: str) -> int:
    """The id of a worker is made of its host, its process and a random number."""
    return int(worker_id.rsplit("-", 2)[1])
