"""The order of shutdown, at the first signal, or when a burst is done.

1. Claiming stops. A blocking read under way is left to end by itself, within a second: Redis may
   have moved a job already. Whatever it brings goes straight back.
2. Claimed jobs whose handler has not begun go back to the front, in their order.
3. Running jobs get the grace period. A second signal ends it.
4. What still runs is cancelled, and gets a moment to clean up.
5. The last outcomes are written.
6. Whatever the active list still holds goes back to the front, and the lease is handed in: one
   step in Redis.
7. The heartbeat stops. The calls of `on_error` get a moment, the app's lifespan is left, and the
   connections are closed (by the service).

The heartbeat outlives everything that holds jobs.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass

import anyio

from worker.broker.errors import BROKER_DOWN
from worker.broker.queue import Queue
from worker.execution.claimed_job import StopReason
from worker.execution.job_tasks import CLEANUP_SECONDS
from worker.process.exchange_loop import ExchangeLoop
from worker.process.parts import Parts

log: logging.Logger = logging.getLogger("worker")

_LAST_WRITES = 5.0  # seconds to write the last outcomes, with Redis away
_POLL = 0.02  # seconds between looks at whether draining is done


@dataclass(frozen=True, slots=True)
class Drained:
    """How draining ended: how many jobs went back, and whether Redis took everything."""

    returned: int
    all_written: bool


async def drain(
    loops: list[ExchangeLoop], parts: Parts, grace_period: float, force: asyncio.Event
) -> Drained:
    """Do steps 1 to 6. `grace_period` is in seconds; `force` is set by a second signal."""
    parts.slots.close()
    returned = _give_back_waiting(loops, parts)
    _log_stopping(len(parts.tasks.running), grace_period)
    with anyio.move_on_after(grace_period):
        await _until(lambda: force.is_set() or not parts.tasks.running)
    returned += await _cancel_running(parts)
    deadline = anyio.current_time() + _LAST_WRITES
    with anyio.CancelScope(deadline=deadline):
        await _until(lambda: all(loop.is_quiet for loop in loops))
    return Drained(returned, await _deregister_all(loops, parts, deadline + 1))


def _give_back_waiting(loops: list[ExchangeLoop], parts: Parts) -> int:
    count = 0
    for loop in loops:
        # The last to go to the front stands first there: newest claims first.
        for claimed in reversed(loop.waiting_jobs()):
            parts.tasks.stop(claimed, StopReason.RETURNED)
            count += 1
    return count


def _log_stopping(running: int, grace_period: float) -> None:
    if not running:
        log.info("Stopping: nothing more is claimed. No job runs.", extra={"event": "stopping"})
        return
    log.info(
        "Stopping: nothing more is claimed. Running jobs: %d; they have %g s to end "
        "(WORKER_GRACE_PERIOD). What runs longer is cancelled and goes back to the queue. A second "
        "signal does that at once.",
        running,
        grace_period,
        extra={"event": "stopping"},
    )


async def _cancel_running(parts: Parts) -> int:
    """Cancel what still runs and let it clean up. Return how many jobs.

    They stay in the active list until step 6 gives them back.
    """
    running = list(parts.tasks.running)
    for claimed in running:
        parts.tasks.stop(claimed, StopReason.RETURNED)
    with anyio.move_on_after(CLEANUP_SECONDS + 1):
        await _until(lambda: not parts.tasks.running)
    return len(running)


async def _deregister_all(loops: list[ExchangeLoop], parts: Parts, deadline: float) -> bool:
    """Hand in the leases. Tried again while Redis is away, since a job that is not given back now
    is taken for one that killed its worker.
    """
    with anyio.CancelScope(deadline=deadline):
        for loop in loops:
            await _deregister(loop.queue, parts)
        return True
    log.error(
        "The lease could not be handed in: Redis does not answer. Another worker recovers what "
        "this one holds once its lease has ended, in %g s at most.",
        parts.lease,
        extra={"event": "lease_kept"},
    )
    return False


async def _deregister(queue: Queue, parts: Parts) -> None:
    while True:
        try:
            await queue.deregister()
        except BROKER_DOWN as error:
            await anyio.sleep(parts.outage.failed(error))
        else:
            return


async def _until(condition: Callable[[], bool]) -> None:
    """Look until it holds: while draining, simpler than an event from every place that counts."""
    while not condition():  # noqa: ASYNC110
        await anyio.sleep(_POLL)
