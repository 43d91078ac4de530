"""What a process says of its work: a line a minute, counts of lines that were alike, the sum."""

import logging

import anyio

from worker.broker.errors import BROKER_DOWN
from worker.process.exchange_loop import ExchangeLoop
from worker.process.tally import Tally, said
from worker.runtime.alike_lines import AlikeLines
from worker.runtime.log_lines import enable_own_loggers

log: logging.Logger = logging.getLogger("worker")

EVERY = 60.0  # seconds


class MinuteLine:
    """Writes what was done since the last time; nothing where nothing was done."""

    def __init__(self, loops: list[ExchangeLoop], tally: Tally, alike: AlikeLines) -> None:
        self._loops = loops
        self._tally = tally
        self._alike = alike

    async def run(self) -> None:
        """Write every minute until cancelled."""
        while True:
            await anyio.sleep(EVERY)
            # Users may configure logging at any time, and later than we did.
            enable_own_loggers()
            self._alike.flush()
            counts, run_times = self._tally.take()
            if counts:
                log.info(
                    "In the last minute: %s; run time: %s; %s pending.",
                    said(counts),
                    run_times,
                    await self._pending(),
                    extra={"event": "minute"},
                )

    def total(self) -> str:
        """Write the counts of lines that were alike. Return what was done since the start."""
        self._alike.flush()
        self._tally.take()
        return said(self._tally.total)

    async def _pending(self) -> str:
        try:
            return f"{sum([await loop.queue.pending() for loop in self._loops]):,}"
        except BROKER_DOWN:
            return "it is not known how many are"
