"""redis-py's connections, made to survive an outage without a second one of their own making.

- Writing to a connection that was reset a moment ago raises OSError on asyncio's own loop, which
  redis-py turns into its ConnectionError. On uvloop it raises RuntimeError, which redis-py lets
  through, and which nobody who waits for Redis to come back would take for an outage.
- Writing to one that another task has closed in the meantime (cancelled while it was reading, say)
  raises AttributeError.
- A connection that ended while it was idle is opened anew before it is used. redis-py 8 looks for
  that only where it has no maintenance notifications, and misses a reset even then.
- redis-py makes a task for each write, to bound its time, which then leaves a turn of the loop
  later. A time limit around the write costs less, and the write leaves at once.
- A server that has become read-only was demoted: what its address leads to by now is asked anew.
"""

import asyncio
from collections.abc import Iterable
from typing import Any

from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import ReadOnlyError
from redis.exceptions import TimeoutError as RedisTimeout

_BUFFERED = 64 * 1024  # bytes that may wait for the socket; asyncio's own high-water mark


class _Sturdy:
    _reader: Any
    _writer: Any
    disconnect: Any
    socket_timeout: float | None
    health_check_interval: float

    @property
    def is_open(self) -> bool:
        """Whether it has been opened and has not ended since, as far as is known."""
        return bool(self._writer) and not (self._writer.is_closing() or self._reader.at_eof())

    async def connect(self) -> None:
        """Called for every command, before it is written."""
        if self.is_open:
            return
        if self._writer:
            await self.disconnect(nowait=True)
        await super().connect()  # type: ignore[misc]

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        writer, limit = self._writer, self.socket_timeout
        self.socket_timeout = None
        try:
            if type(command) is list and writer and not self.health_check_interval:
                writer.writelines(command)
                if writer.transport.get_write_buffer_size() <= _BUFFERED:
                    return
                command = b""
            async with asyncio.timeout(limit):
                await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except TimeoutError as error:
            if writer:
                # Merely closed, it would go on to send the rest once Redis reads again.
                writer.transport.abort()
            raise RedisTimeout("Timeout writing to socket") from error
        except (RuntimeError, AttributeError) as error:
            if isinstance(error, AttributeError) and self._writer is not None:
                raise
            raise RedisConnectionError(f"Connection lost while writing: {error}") from error
        finally:
            self.socket_timeout = limit

    async def read_response(self, *args: Any, **options: Any) -> Any:
        try:
            return await super().read_response(*args, **options)  # type: ignore[misc]
        except ReadOnlyError:
            await self.disconnect(nowait=True)
            raise


class _Tcp(_Sturdy, Connection): ...


class _Tls(_Sturdy, SSLConnection): ...


class _Unix(_Sturdy, UnixDomainSocketConnection): ...


_STURDY: dict[Any, Any] = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def sturdy(pool: BlockingConnectionPool) -> BlockingConnectionPool:
    """The same pool, whose connections are yet to be made."""
    pool.connection_class = _STURDY[pool.connection_class]
    return pool
