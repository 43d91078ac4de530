"""The one async context in which the process opens its connections, and the way to reach them.

One aioboto3 session, one DynamoDB client on it, one async Redis client: made once, shared by
everything in the process, closed in order. There is no pool of ours and no cache of clients: the
SDK and redis-py keep their sockets alive themselves, sized here to the concurrency.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from worker.errors import NotOpen, SettingsError
from worker.settings import Settings
from worker.wire import sturdy

if TYPE_CHECKING:
    import aioboto3
    from types_aiobotocore_dynamodb import DynamoDBClient

    from worker.config import ConfigStore
    from worker.table import ConfigTable

# Seconds. Blocking reads last less than a second, so five without a reply is an outage.
REDIS_TIMEOUT = 5.0
REDIS_CONNECT_TIMEOUT = 2.0


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
    from worker.config import ConfigStore  # noqa: PLC0415
    from worker.dynamo import open_dynamo  # noqa: PLC0415
    from worker.table import ConfigTable  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        session, dynamo = await stack.enter_async_context(open_dynamo(settings))
        redis = await stack.enter_async_context(open_redis(settings))
        table = ConfigTable(dynamo, settings.config_table, settings.config_key)
        config = ConfigStore(
            table,
            ttl=settings.config_ttl,
            max_stale=settings.config_max_stale,
            size=settings.config_cache_size,
        )
        await stack.enter_async_context(config.running())
        _open = Connections(session, dynamo, redis, config, table, settings)
        try:
            yield _open
        finally:
            _open = None


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator["Redis"]:
    """One async Redis client, closed with the context.

    It never sends a command twice by itself: a claim or a push whose reply was lost would be done
    twice. Its callers know what is safe to repeat. Raises SettingsError for a URL with options
    that redis-py does not know.
    """
    redis = Redis.from_pool(_pool(settings))
    try:
        yield redis
    finally:
        await redis.aclose()


def _pool(settings: Settings) -> BlockingConnectionPool:
    # What the worker depends on comes last, so that no option of the URL can change it.
    ours: dict[str, Any] = {
        "decode_responses": False,
        "max_connections": settings.concurrency + 4 * len(settings.queue) + 4,
        "timeout": REDIS_TIMEOUT,
        "socket_timeout": REDIS_TIMEOUT,
        "socket_connect_timeout": REDIS_CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        pool = BlockingConnectionPool(
            **{**parse_url(settings.redis_url.get_secret_value()), **ours}
        )
        pool.make_connection()  # type: ignore[no-untyped-call]  # opens nothing, but finds options that it does not know
    except (ValueError, TypeError, RedisError) as error:
        raise SettingsError(f"WORKER_REDIS_URL can't be used: {error}") from error
    return sturdy(pool)


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

    As fresh as WORKER_CONFIG_TTL says, read anew each time where that is 0. Raises NotOpen outside
    `open_connections`, ConfigUnavailable when DynamoDB can't be read and nothing stands in.
    """
    return await _connections().config.get(key)
