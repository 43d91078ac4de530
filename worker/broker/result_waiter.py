"""Waits for results on their channels, never by polling: one subscription for a whole client.

A message may come between two looks, so the key is read each time a subscription is confirmed, at
first and again after the connection was lost.
"""

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from redis.exceptions import RedisError

from worker.broker.subscription import Subscription
from worker.jobs.backoff import Backoff

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from worker.broker.dedicated import DedicatedConnection

log = logging.getLogger("worker")

_RECONNECT = Backoff(base=0.05, factor=2.0, max=1.0)


class _Waiter:
    """One call that waits on a channel, until a confirmation or a message comes."""

    def __init__(self) -> None:
        self.message: bytes | None = None
        self._news = anyio.Event()

    def tell(self, message: bytes | None) -> None:
        self.message = self.message or message
        self._news.set()

    async def hear(self) -> None:
        await self._news.wait()
        self._news = anyio.Event()


class ResultWaiter:
    """The subscription of one client; reads only while somebody waits."""

    def __init__(
        self, redis: "Redis", commands: "Redis | DedicatedConnection", group: TaskGroup
    ) -> None:
        self._commands = commands
        self._group = group
        self._subscription = Subscription(redis)
        self._waiters: dict[str, list[_Waiter]] = defaultdict(list)
        self._reading = False
        # Of two first subscriptions at once, one would be lost with its connection.
        self._one_at_a_time = anyio.Lock(fast_acquire=True)

    async def wait(self, key: str, *, after: bytes | None = None) -> bytes:
        """The value of `key`, which is also a channel; waits until it is there, and not `after`."""
        waiter = _Waiter()
        self._waiters[key].append(waiter)
        try:
            await self._subscribe(key)
            while True:
                await waiter.hear()
                if waiter.message is not None:
                    return waiter.message
                try:
                    value = await self._commands.execute_command("GET", key)
                except RedisError:
                    continue  # the subscription is made anew too, and its confirmation wakes us
                if value is not None and value != after:
                    return bytes(value)
        finally:
            self._waiters[key].remove(waiter)
            if not self._waiters[key]:
                del self._waiters[key]
                # Whoever has waited need not wait for this, too.
                self._group.start_soon(self._unsubscribe, key)

    async def close(self) -> None:
        """Close the subscription's connection."""
        await self._subscription.close()

    async def _subscribe(self, key: str) -> None:
        async with self._one_at_a_time:
            if self._subscription.is_open:
                await self._subscription.add(key)
            else:
                await self._subscribe_to_all()
        if not self._reading:
            self._reading = True
            self._group.start_soon(self._read)

    async def _subscribe_to_all(self) -> None:
        await self._subscription.close()
        await self._subscription.add(*self._waiters)

    async def _unsubscribe(self, key: str) -> None:
        async with self._one_at_a_time:
            if key in self._waiters or not self._subscription.is_open:
                return
            try:
                await self._subscription.remove(key)
            except (RedisError, OSError) as error:
                log.debug("Unsubscribing failed: %s", error)

    async def _read(self) -> None:
        failures = 0
        try:
            while self._waiters:
                try:
                    self._take(*await self._subscription.hear())
                    failures = 0
                except (RedisError, OSError) as error:
                    failures += 1
                    log.debug("Waiting for results: %s; subscribing anew.", error)
                    await anyio.sleep(_RECONNECT.equal_jitter(failures))
                    await self._subscribe_anew()
        finally:
            self._reading = False

    async def _subscribe_anew(self) -> None:
        async with self._one_at_a_time:
            if not self._waiters:
                return
            try:
                await self._subscribe_to_all()
            except (RedisError, OSError) as error:
                log.debug("Subscribing failed: %s", error)

    def _take(self, kind: str, channel: str, found: bytes | int) -> None:
        if kind not in ("subscribe", "message"):
            return
        for waiter in list(self._waiters.get(channel, ())):
            waiter.tell(found if isinstance(found, bytes) else None)
