"""Renews this worker's leases, a third of their length apart, so that two renewals may fail."""

import anyio

from worker.broker.errors import BROKER_DOWN
from worker.broker.outage import RedisOutage
from worker.process.exchange_loop import ExchangeLoop


class Heartbeat:
    """Renews the lease of each queue every `every` seconds. `lease` is its length in seconds."""

    def __init__(
        self, loops: list[ExchangeLoop], outage: RedisOutage, *, lease: float, every: float
    ) -> None:
        self._loops = loops
        self._outage = outage
        self._lease = lease
        self._every = every

    async def run(self) -> None:
        """Renew until cancelled."""
        while True:
            pause = await self._renew_all()
            await anyio.sleep(pause)

    async def _renew_all(self) -> float:
        """Renew each lease. Return the seconds until the next time."""
        for loop in self._loops:
            try:
                loop.lease_checked(await loop.queue.renew(self._lease))
            except BROKER_DOWN as error:
                # Leases run on while Redis is away: the sooner renewed, the fewer are lost. And a
                # loop whose slots are all in use would not find out that Redis is back.
                loop.doubt.raised()
                loop.wake()
                return min(self._every, self._outage.failed(error))
        return self._every
