"""A burst: the worker ends once nothing is pending, active or scheduled, here or anywhere."""

import logging
from collections.abc import Callable

import anyio

from worker.broker.errors import BROKER_DOWN
from worker.process.exchange_loop import ExchangeLoop
from worker.process.slots import Slots

log: logging.Logger = logging.getLogger("worker")

_LOOK = 0.1  # seconds between two looks
# Seconds until the first line that says what the burst waits for, and between that and the next.
_FIRST_LINE = 2.0
_LINES = 15.0


class Burst:
    """Looks whether all is done, over all queues."""

    def __init__(self, loops: list[ExchangeLoop], slots: Slots) -> None:
        self._loops = loops
        self._slots = slots

    async def run(self, stop: Callable[[], None]) -> None:
        """Call `stop` once all is done. Until then say from time to time what is not."""
        line_at = anyio.current_time() + _FIRST_LINE
        while True:
            await anyio.sleep(_LOOK)
            try:
                if await self.is_finished():
                    stop()
                    return
                if anyio.current_time() >= line_at:
                    await self._say()
                    line_at = anyio.current_time() + _LINES
            except BROKER_DOWN as error:
                log.debug("Whether the queue is empty can't be seen: %s; it is tried again.", error)

    async def is_finished(self) -> bool:
        """Return whether nothing is pending, active or scheduled. Raises one of BROKER_DOWN."""
        if self._slots.used > len(self._loops):  # each loop may hold one for its blocking read
            return False
        if any(len(loop.held) or not loop.has_seen_queue_empty for loop in self._loops):
            return False
        return not any([(await loop.queue.unfinished()).total for loop in self._loops])

    async def _say(self) -> None:
        left = [await loop.queue.unfinished() for loop in self._loops]
        held = sum(len(loop.held) for loop in self._loops)
        due = min((each.next_due for each in left if each.scheduled), default=0)
        parts = {
            "{:,} held by this worker": held,
            "{:,} pending": sum(each.pending for each in left),
            f"{{:,}} scheduled (the next is due in {due / 1000:,.1f} s)": sum(
                each.scheduled for each in left
            ),
            "{:,} held by other workers": sum(each.active for each in left) - held,
        }
        left_over = ", ".join(text.format(count) for text, count in parts.items() if count > 0)
        log.info("The burst still waits for jobs: %s.", left_over, extra={"event": "burst_waits"})
