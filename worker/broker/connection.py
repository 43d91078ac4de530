"""Subclasses of redis-py's connections that reconnect cleanly after an outage.

The lowest of three layers over redis-py's private parts: every socket to Redis is one of these,
also those of `DedicatedConnection` and `Subscription`. Each difference is for a failure that
redis-py 8.1 has:

- A write to a connection that was reset a moment ago raises RuntimeError on uvloop, where asyncio's
  own loop raises OSError. redis-py lets RuntimeError through, and no caller takes it for an outage.
  Here it is a ConnectionError.
- A write to a connection that another task has just closed (it was cancelled while reading, say)
  raises AttributeError. Here it is a ConnectionError.
- A connection that ended while it was idle fails its next command. Here it is opened again first.
  redis-py looks for this only without maintenance notifications, and misses a reset even then.
- redis-py makes a task for each write, to limit its time, so the bytes leave one turn of the event
  loop later. Here they leave at once, and only a write that has to wait is timed.
- A server that answers READONLY was demoted. Here the connection is closed, so that the next one
  resolves the address again and may reach the new primary.
"""

import asyncio
import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeout

_BUFFERED = 64 * 1024  # bytes that may wait for the socket; asyncio's default high-water mark


class _Resilient:
    """What the three kinds of connections have in common."""

    _reader: Any
    _writer: Any
    disconnect: Any
    socket_timeout: float | None
    health_check_interval: float

    @property
    def is_open(self) -> bool:
        """Whether it was opened and, as far as this side knows, has not ended since."""
        return bool(self._writer) and not (self._writer.is_closing() or self._reader.at_eof())

    async def connect(self) -> None:
        """Open the connection unless it is open. Called before each command is written."""
        if self.is_open:
            return
        if self._writer:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[misc]

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        """Write a command. Raise ConnectionError, or TimeoutError after `socket_timeout` s."""
        writer, limit = self._writer, self.socket_timeout
        self.socket_timeout = None  # so that redis-py makes no task for it
        try:
            if type(command) is list and writer and not self.health_check_interval:
                writer.writelines(command)
                if writer.transport.get_write_buffer_size() <= _BUFFERED:
                    return
                command = b""
            async with asyncio.timeout(limit):
                await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except BaseException as error:
            if writer:
                # Only closed, it would still send the rest once Redis reads again.
                writer.transport.abort()
            if isinstance(error, TimeoutError):
                raise RedisTimeout("Timeout writing to socket") from error
            closed_meanwhile = isinstance(error, AttributeError) and self._writer is None
            if isinstance(error, RuntimeError) or closed_meanwhile:
                raise RedisConnectionError(f"Connection lost while writing: {error}") from error
            raise
        finally:
            self.socket_timeout = limit

    async def read_response(self, *args: Any, **options: Any) -> Any:
        """Read one reply, and raise it if it is an error."""
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except ReadOnlyError:
            await self.disconnect(nowait=True)
            raise


class _Tcp(_Resilient, Connection): ...


class _Tls(_Resilient, SSLConnection): ...


class _Unix(_Resilient, UnixDomainSocketConnection): ...


_RESILIENT: dict[Any, Any] = {
    Connection: _Tcp,
    SSLConnection: _Tls,
    UnixDomainSocketConnection: _Unix,
}


class _OlderPool(BlockingConnectionPool):
    """redis-py 5.2 asks for the command that a connection is for, and ignores it."""

    async def get_connection(self, *_: Any, **__: Any) -> Any:
        return await super().get_connection("_")  # type: ignore[no-untyped-call]


_name = inspect.signature(BlockingConnectionPool.get_connection).parameters.get("command_name")
_asks_for_command = _name is not None and _name.default is inspect.Parameter.empty
if TYPE_CHECKING or not _asks_for_command:  # noqa: SIM108 - mypy follows this form only
    _Pool = BlockingConnectionPool
else:
    _Pool = _OlderPool


class ResilientPool(_Pool):
    """A pool of such connections."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.connection_class: Any = _RESILIENT[self.connection_class]
