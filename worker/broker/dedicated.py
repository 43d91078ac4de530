"""One connection kept for commands that mostly come one at a time: sent and answered with nothing
between.

The way through redis-py's pool costs as much CPU again as the command itself, and a lone job waits
for it at each end. What is often used and rarely shared keeps its connection instead.

The asyncio side of redis-py packs commands in Python. Here hiredis does it where it is installed,
as on redis-py's other side: that takes a third of the time.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis

_pack: Callable[[tuple[Any, ...]], bytes] | None
try:
    from hiredis import pack_command as _pack
except ImportError:
    _pack = None

# Bytes. hiredis copies each argument twice, redis-py none that is larger than this.
_LARGE = 6000


class DedicatedConnection:
    """Stands in for the client. Takes its connection out of the client's pool at the first command,
    and gives it back with `close`. Who comes while it is in use goes through the pool.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._connection: Any = None
        self._in_use = False

    async def execute_command(self, *command: Any) -> Any:
        """Send a command, once, and give the reply. Raises redis.exceptions.RedisError."""
        if self._in_use:
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        self._in_use = True
        try:
            if self._connection is None:
                self._connection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            return await self._ask(self._connection, command)
        finally:
            self._in_use = False

    async def _ask(self, connection: Any, command: tuple[Any, ...]) -> Any:
        try:
            await connection.connect()
            await connection.send_packed_command(packed(connection, command))
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
            await self._redis.connection_pool.release(connection)


def packed(connection: Any, command: tuple[Any, ...]) -> list[bytes]:
    """A command as this connection sends it."""
    if _pack and not any(type(part) is bytes and len(part) > _LARGE for part in command):
        return [_pack(command)]
    packed: list[bytes] = connection.pack_command(*command)
    return packed
