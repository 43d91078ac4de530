"""One connection kept for one kind of command: sent and answered with nothing between.

The way through redis-py's pool costs as much CPU again as the command itself, and a lone job waits
for it twice. What is often used and never shared keeps its connection instead.
"""

from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis


class Line:
    """Stands in for the client where one command at a time is sent. Takes its connection out of the
    client's pool at the first command, and gives it back with `close`.
    """

    def __init__(self, redis: "Redis") -> None:
        self._pool: Any = redis.connection_pool
        self._connection: Any = None

    async def execute_command(self, *command: Any) -> Any:
        """Send a command, once, and give the reply. Raises redis.exceptions.RedisError."""
        if self._connection is None:
            self._connection = await self._pool.get_connection()
        connection = self._connection
        try:
            await connection.connect()
            await connection.send_command(*command)
            return await connection.read_response()
        except ResponseError:
            raise
        except BaseException:
            # What comes later on this connection would answer the wrong command.
            await connection.disconnect(nowait=True)
            raise

    async def close(self) -> None:
        """Give the connection back to the pool."""
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._pool.release(connection)
