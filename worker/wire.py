"""redis-py's connections, fit for uvloop.

Writing to a connection that was reset a moment ago raises OSError on asyncio's own loop, which
redis-py turns into its ConnectionError. On uvloop it raises RuntimeError, which redis-py lets
through, and which nobody who waits for Redis to come back would take for an outage.
"""

from collections.abc import Iterable
from typing import Any

from redis.asyncio import (
    BlockingConnectionPool,
    Connection,
    SSLConnection,
    UnixDomainSocketConnection,
)
from redis.exceptions import ConnectionError as RedisConnectionError


class _OnUvloop:
    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)  # type: ignore[misc]
        except RuntimeError as error:
            raise RedisConnectionError(f"Connection lost while writing: {error}") from error


class _Tcp(_OnUvloop, Connection): ...


class _Tls(_OnUvloop, SSLConnection): ...


class _Unix(_OnUvloop, UnixDomainSocketConnection): ...


_FIT: dict[Any, Any] = {Connection: _Tcp, SSLConnection: _Tls, UnixDomainSocketConnection: _Unix}


def fit_for_uvloop(pool: BlockingConnectionPool) -> BlockingConnectionPool:
    """The same pool, whose connections are yet to be made."""
    pool.connection_class = _FIT[pool.connection_class]
    return pool
