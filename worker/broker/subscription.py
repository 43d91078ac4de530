"""A connection that listens to channels, in place of redis-py's PubSub.

The third of three layers over redis-py's private parts, for clients that wait for results. PubSub's
own events, metrics and retries take 0.15 ms before the command leaves, a tenth of the round trip of
a lone job.
"""

import math
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError

from worker.broker.dedicated import packed

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Subscription:
    """Takes its connection out of the client's pool with the first channel, and another one after
    `close`. It never reconnects by itself: whoever uses it has to look for what it missed. All
    methods but `close` raise redis.exceptions.RedisError.
    """

    def __init__(self, redis: "Redis") -> None:
        self._pool: Any = redis.connection_pool
        self._connection: Any = None

    @property
    def is_open(self) -> bool:
        """Whether it listens, as far as this side knows."""
        return self._connection is not None and self._connection.is_open

    async def add(self, *channels: str) -> None:
        """Listen to these channels too. `next_event` returns Redis's confirmation of each."""
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        await self._send("SUBSCRIBE", *channels)

    async def remove(self, channel: str) -> None:
        """Stop listening to this channel."""
        await self._send("UNSUBSCRIBE", channel)

    async def next_event(self) -> tuple[str, str, Any]:
        """Return what comes next: its kind (`subscribe`, `message`, ...), channel, and message."""
        if self._connection is None:
            raise RedisConnectionError("the subscription is closed")
        # After `close` the connection may belong to another client: a read that fails then must
        # not disconnect it.
        kind, channel, message = await self._connection.read_response(
            timeout=math.inf, push_request=True, disconnect_on_error=False
        )
        return kind.decode(), channel.decode(), message

    async def close(self) -> None:
        """End the connection and give it back to the pool, closed: it is subscribed to channels."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _send(self, *command: str) -> None:
        await self._connection.send_packed_command(packed(self._connection, command))
