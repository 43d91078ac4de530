"""A dedicated connection that bypasses redis-py's pool.

The second of three layers over redis-py's private parts, for commands that mostly come one at a
time: exchanges, blocking reads, a producer's pushes. Taking a connection from the pool and giving
it back costs as much CPU as the command itself, and a lone job waits for it twice.

Commands are packed by hiredis where it is installed, in a third of the time: redis-py's asyncio
side packs them in Python.
"""

from collections.abc import Awaitable, Callable, Generator
from types import coroutine
from typing import TYPE_CHECKING, Any
from weakref import ref

if TYPE_CHECKING:
    from redis.asyncio import Redis

_pack: Callable[[tuple[Any, ...]], bytes] | None
try:
    from hiredis import pack_command as _pack
except ImportError:
    _pack = None

# Bytes. hiredis copies each argument twice; redis-py copies none that is larger than this.
_LARGE = 6000


class DedicatedConnection:
    """One connection with the client's `execute_command`, and with `send`, its first half.

    Takes its connection out of the client's pool at the first command, and gives it back with
    `close`. While it is in use, other commands go through the pool.
    """

    def __init__(self, redis: "Redis") -> None:
        self._redis = redis
        self._connection: Any = None
        self._in_use = False  # a write or a read is under way
        self._unread: ref[Any] | None = None  # the reply to what is written and not yet read

    async def execute_command(self, *command: Any) -> Any:
        """Send a command, once, and return its reply. Raise redis.exceptions.RedisError."""
        if self._is_taken:
            return await self._redis.execute_command(*command)  # type: ignore[no-untyped-call]
        return await self._read(await self._write(command))

    async def send(self, *command: Any) -> Awaitable[Any]:
        """Write a command to the socket, once. Awaiting what is returned, once, reads the reply.

        A reply that is never read, or whose read fails or is cancelled, costs the connection: the
        next command opens another. While this connection is in use, the command goes through the
        pool, and is written only when its reply is awaited. Both steps raise
        redis.exceptions.RedisError.
        """
        if self._is_taken:
            return self._pooled(command)
        reply = self._read(await self._write(command))
        self._unread = ref(reply)
        return reply

    async def close(self) -> None:
        """Give the connection back to the pool."""
        if self._in_use or self._unread is not None:
            await self._disconnect()
        connection, self._connection = self._connection, None
        if connection is not None:
            await self._redis.connection_pool.release(connection)

    @property
    def _is_taken(self) -> bool:
        return self._in_use or (self._unread is not None and self._unread() is not None)

    # redis-py itself disconnects where a write or a read fails, or is cancelled half-way.

    async def _write(self, command: tuple[Any, ...]) -> Any:
        """Write a command; return the connection, on which its reply comes next."""
        self._in_use = True
        try:
            if self._connection is None:
                self._connection = await self._redis.connection_pool.get_connection()  # type: ignore[no-untyped-call]
            elif self._unread is not None:
                await self._disconnect()  # the next reply on it would be that of an earlier command
            connection = self._connection
            await connection.connect()
            await connection.send_packed_command(packed(connection, command))
        finally:
            self._in_use = False
        return connection

    # Generators, so that they may be left unread: a coroutine that nobody awaits warns.

    @coroutine
    def _read(self, connection: Any) -> Generator[Any, Any, Any]:
        self._unread, self._in_use = None, True
        try:
            return (yield from connection.read_response())
        finally:
            self._in_use = False

    @coroutine
    def _pooled(self, command: tuple[Any, ...]) -> Generator[Any, Any, Any]:
        redis: Any = self._redis
        return (yield from redis.execute_command(*command))

    async def _disconnect(self) -> None:
        self._unread = None
        if self._connection is not None:
            await self._connection.disconnect(nowait=True)


def packed(connection: Any, command: tuple[Any, ...]) -> list[bytes]:
    """Return a command as bytes for this connection's socket."""
    if _pack and not any(type(part) is bytes and len(part) > _LARGE for part in command):
        return [_pack(command)]
    packed: list[bytes] = connection.pack_command(*command)
    return packed
