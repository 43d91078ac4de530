"""One connection that listens to channels, without redis-py's PubSub between.

What PubSub does besides (events, metrics, tries) costs whoever waits for a lone result 0.15 ms
before the command has left, which is a tenth of the whole way there and back.
"""

import math
from typing import TYPE_CHECKING, Any

from redis.exceptions import ConnectionError as RedisConnectionError

from worker.broker.dedicated import packed

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Subscription:
    """Takes its connection out of the client's pool with the first channel, and another after
    `close`. What has ended is not made anew here. All methods but `close` raise
    redis.exceptions.RedisError.
    """

    def __init__(self, redis: "Redis") -> None:
        self._pool: Any = redis.connection_pool
        self._connection: Any = None

    @property
    def is_open(self) -> bool:
        """Whether it listens, as far as is known."""
        return self._connection is not None and self._connection.is_open

    async def add(self, *channels: str) -> None:
        """Listen to these channels too; `hear` tells when Redis has confirmed each."""
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        await self._send("SUBSCRIBE", *channels)

    async def remove(self, channel: str) -> None:
        """No longer listen to this channel."""
        await self._send("UNSUBSCRIBE", channel)

    async def hear(self) -> tuple[str, str, Any]:
        """What comes next: its kind (`subscribe`, `message`, ...), the channel, and the message."""
        if self._connection is None:
            raise RedisConnectionError("the subscription is closed")
        # A read that fails after `close` must not end a connection that is another's by then.
        kind, channel, what = await self._connection.read_response(
            timeout=math.inf, push_request=True, disconnect_on_error=False
        )
        return kind.decode(), channel.decode(), what

    async def close(self) -> None:
        """End the connection; the pool takes it back closed, since it can be used for no other."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await connection.disconnect(nowait=True)
            await self._pool.release(connection)

    async def _send(self, *command: str) -> None:
        await self._connection.send_packed_command(packed(self._connection, command))
