"""Renews this worker's leases, a third of their length apart, so that two renewals may fail."""

import anyio
from redis.exceptions import RedisError

from worker.broker.outage import RedisOutage
from worker.process.exchange_loop import Pump


class Heartbeat:
    """Tells each pump what Redis says of its lease."""

    def __init__(
        self, pumps: list[Pump], outage: RedisOutage, *, lease: float, every: float
    ) -> None:
        self._pumps = pumps
        self._outage = outage
        self._lease = lease
        self._every = every

    async def run(self) -> None:
        """Beat until cancelled."""
        while True:
            pause = await self._beat()
            await anyio.sleep(pause)

    async def _beat(self) -> float:
        """Renew each lease; tells how many seconds until the next time."""
        for pump in self._pumps:
            try:
                pump.heard(await pump.queue.renew(self._lease))
            except (RedisError, OSError) as error:
                # Leases run on while Redis is away: the sooner renewed, the fewer are lost. And a
                # pump that has its hands full would not find out that Redis is back.
                pump.doubt()
                return min(self._every, self._outage.failed(error))
        return self._every
