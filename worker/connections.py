"""The one async context in which the process opens its connections, and the way to reach them.

One aioboto3 session, one DynamoDB client on it, one async Redis client: made once, shared by
everything in the process, closed in order. There is no pool of ours and no cache of clients: the
SDK and redis-py keep their sockets alive themselves, sized here to the concurrency.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.broker.connect import open_redis
from worker.errors import NotOpen
from worker.settings import Settings

if TYPE_CHECKING:
    import aioboto3
    from redis.asyncio import Redis
    from types_aiobotocore_dynamodb import DynamoDBClient

    from worker.config.store import ConfigStore
    from worker.config.table import ConfigTable


@dataclass(frozen=True)
class Connections:
    """What a process has open."""

    session: "aioboto3.Session"
    dynamo: "DynamoDBClient"
    redis: "Redis"
    config: "ConfigStore"
    table: "ConfigTable"
    settings: Settings


_open: Connections | None = None


@asynccontextmanager
async def open_connections(settings: Settings) -> AsyncIterator[Connections]:
    """Open the session, the DynamoDB client and the Redis client; close them in reverse order.

    Nothing is sent to either server by this. Raises StartupError where the DynamoDB client can't be
    made (no region, say), NotOpen when this process has them open
    already: there is one of each.
    """
    global _open  # noqa: PLW0603 - one per process is the very promise
    if _open is not None:
        raise NotOpen("the connections of this process are open already; use the accessors")
    # Imported here, so that a producer, which has no use for it, never pays for the AWS SDK.
    from worker.config.client import open_dynamo  # noqa: PLC0415
    from worker.config.store import ConfigStore  # noqa: PLC0415
    from worker.config.table import ConfigTable  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        session, dynamo = await stack.enter_async_context(open_dynamo(settings))
        redis = await stack.enter_async_context(open_redis(settings))
        table = ConfigTable(dynamo, settings.config_table, settings.config_key)
        config = ConfigStore(
            table,
            ttl=settings.config_ttl,
            max_stale=settings.config_max_stale,
            size=settings.config_cache_size,
            max_bytes=settings.config_cache_bytes,
        )
        await stack.enter_async_context(config.running())
        _open = Connections(session, dynamo, redis, config, table, settings)
        try:
            yield _open
        finally:
            _open = None


def current() -> Connections | None:
    """What this process has open, or None."""
    return _open


def _connections() -> Connections:
    if _open is None:
        raise NotOpen(
            "no connections are open: this works in a handler, or within "
            "'async with open_connections(settings)'"
        )
    return _open


def get_redis_client() -> "Redis":
    """The process's one Redis client. Raises NotOpen outside `open_connections`."""
    return _connections().redis


def get_dynamo_client() -> "DynamoDBClient":
    """The process's one DynamoDB client. Raises NotOpen outside `open_connections`."""
    return _connections().dynamo


async def get_config(key: str) -> dict[str, Any]:
    """The whole config item of this key as a plain dict, the caller's own; `{}` if there is none.

    As fresh as WORKER_CONFIG_TTL says, read each time where that is 0. Raises NotOpen outside
    `open_connections`, and ConfigUnavailable where DynamoDB can't be read and no remembered item is
    young enough, or where the item holds what can't be used.
    """
    return await _connections().config.get(key)
