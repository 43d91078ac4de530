"""Waits for results on their channels, without polling: one subscription for a whole client.

A result may be published before the subscription counts, or while its connection is lost. So the
key is read each time Redis confirms the subscription: the first time, and after each reconnect.
"""

import logging
from collections import defaultdict
from typing import TYPE_CHECKING

import anyio
from anyio.abc import TaskGroup
from redis.exceptions import MaxConnectionsError, ResponseError

from worker.broker.errors import BROKER_DOWN
from worker.broker.subscription import Subscription
from worker.jobs.backoff import Backoff

if TYPE_CHECKING:
    from redis.asyncio import Redis

    from worker.broker.dedicated import DedicatedConnection

log: logging.Logger = logging.getLogger("worker")

_RETRY = Backoff(base=0.05, factor=2.0, max=1.0)


class _Call:
    """One call of `wait`: wakes at each confirmation or message of its channel."""

    def __init__(self) -> None:
        self.message: bytes | None = None
        self._woken = anyio.Event()

    def wake(self, message: bytes | None) -> None:
        self.message = self.message or message
        self._woken.set()

    async def sleep(self) -> None:
        await self._woken.wait()
        self._woken = anyio.Event()


class ResultWaiter:
    """The subscription of one client. It reads only while a call waits."""

    def __init__(
        self, redis: "Redis", commands: "Redis | DedicatedConnection", group: TaskGroup
    ) -> None:
        self._commands = commands
        self._group = group
        self._subscription = Subscription(redis)
        self._calls: dict[str, list[_Call]] = defaultdict(list)
        self._reading = False
        # Two calls that both open the subscription would lose one of the two connections.
        self._lock = anyio.Lock(fast_acquire=True)

    async def wait(self, key: str, *, after: bytes | None = None) -> bytes:
        """Wait until `key`, which is also a channel, has a value other than `after`; return it."""
        call = _Call()
        self._calls[key].append(call)
        try:
            await self._subscribe(key)
            while True:
                await call.sleep()
                value = await self._look(key, call)
                if call.message is not None:
                    return call.message
                if value is not None and value != after:
                    return value
        finally:
            self._calls[key].remove(call)
            if not self._calls[key]:
                del self._calls[key]
                # In the background, so that the caller has its result a round trip earlier.
                self._group.start_soon(self._unsubscribe, key)

    async def _look(self, key: str, call: _Call) -> bytes | None:
        """Return the value of `key`, or None. Stop trying once a message has come instead.

        Tried again when its connection fails, which need not be that of the subscription.
        """
        failures = 0
        while call.message is None:
            try:
                value: bytes | None = await self._commands.execute_command("GET", key)
            except (ResponseError, MaxConnectionsError):
                raise
            except BROKER_DOWN as error:
                failures += 1
                log.debug("Waiting for %s: GET failed: %s; trying again.", key, error)
                await anyio.sleep(_RETRY.equal_jitter(failures))
            else:
                return value
        return None

    async def close(self) -> None:
        """Close the subscription's connection."""
        await self._subscription.close()

    async def _subscribe(self, key: str) -> None:
        async with self._lock:
            if self._subscription.is_open:
                await self._subscription.add(key)
            else:
                await self._subscribe_to_all()
        if not self._reading:
            self._reading = True
            self._group.start_soon(self._read)

    async def _subscribe_to_all(self) -> None:
        await self._subscription.close()
        await self._subscription.add(*self._calls)

    async def _unsubscribe(self, key: str) -> None:
        async with self._lock:
            if key in self._calls or not self._subscription.is_open:
                return
            try:
                await self._subscription.remove(key)
            except BROKER_DOWN as error:
                log.debug("Unsubscribing from %s failed: %s", key, error)

    async def _read(self) -> None:
        failures = 0
        try:
            while self._calls:
                try:
                    self._pass_on(*await self._subscription.next_event())
                    failures = 0
                except BROKER_DOWN as error:
                    failures += 1
                    log.debug("Waiting for results: connection lost: %s; reconnecting.", error)
                    await anyio.sleep(_RETRY.equal_jitter(failures))
                    await self._reconnect()
        finally:
            self._reading = False

    async def _reconnect(self) -> None:
        async with self._lock:
            if not self._calls:
                return
            try:
                await self._subscribe_to_all()
            except BROKER_DOWN as error:
                log.debug("Waiting for results: reconnecting failed: %s", error)

    def _pass_on(self, kind: str, channel: str, found: bytes | int) -> None:
        """Wake the calls of a channel. `found` is a message, or a number of subscriptions."""
        if kind not in ("subscribe", "message"):
            return
        for call in list(self._calls.get(channel, ())):
            call.wake(found if isinstance(found, bytes) else None)
