"""The one async context in which a process opens its connections, and how handlers reach them.

One aioboto3 session, one DynamoDB client on it, one async Redis client for handlers: made once,
shared by everything in the process, closed in order. There is no pool to manage and no cache of
clients: both libraries keep their sockets open themselves, as many as WORKER_CONCURRENCY asks for.
"""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.broker.connect import open_worker_redis
from worker.errors import NotOpen
from worker.runtime.home_loop import HomeLoop
from worker.settings import Settings

if TYPE_CHECKING:
    import aioboto3
    from redis.asyncio import Redis
    from types_aiobotocore_dynamodb import DynamoDBClient

    from worker.config.store import ConfigStore
    from worker.config.table import ConfigTable

_OTHER_LOOP = (
    "the connections of this process work only in the event loop that opened them, not within "
    "asyncio.run() or in another loop of your own. In a plain handler, call "
    "anyio.from_thread.run(get_config, 'key'), anyio.from_thread.run(get_redis_client().get, "
    "'key') and the like, or make the handler 'async def'"
)


@dataclass(frozen=True)
class Connections:
    """What a process has open, and the event loop that it works in.

    `redis` is the client that handlers share. `broker` leads to the same Redis over connections
    that are reserved for the worker's own commands, so that no handler can use them up.
    """

    session: "aioboto3.Session"
    dynamo: "DynamoDBClient"
    redis: "Redis"
    broker: "Redis"
    config: "ConfigStore"
    table: "ConfigTable"
    settings: Settings
    home: HomeLoop


_open: Connections | None = None


@asynccontextmanager
async def open_connections(settings: Settings) -> AsyncIterator[Connections]:
    """Open the session, the DynamoDB client and the Redis client; close them in reverse order.

    This sends nothing to either server. Raise StartupError where the DynamoDB client can't be made
    (no region, say), NotOpen when this process has them open already: there is one of each.
    """
    global _open  # noqa: PLW0603 - one per process is the promise
    if _open is not None:
        raise NotOpen(
            "the connections of this process are open already: reach them by get_config(), "
            "get_redis_client() and get_dynamo_client()"
        )
    # Imported here, so that a producer, which has no use for it, never pays for the AWS SDK.
    from worker.config.client import open_dynamo  # noqa: PLC0415
    from worker.config.store import ConfigStore  # noqa: PLC0415
    from worker.config.table import ConfigTable  # noqa: PLC0415

    async with AsyncExitStack() as stack:
        session, dynamo = await stack.enter_async_context(open_dynamo(settings))
        redis, broker = await stack.enter_async_context(open_worker_redis(settings))
        home = HomeLoop(_OTHER_LOOP)
        _keep_to(home, dynamo)
        table = ConfigTable(dynamo, settings.config_table, settings.config_key)
        config = ConfigStore(
            table,
            ttl=settings.config_ttl,
            max_stale=settings.config_max_stale,
            size=settings.config_cache_size,
            max_bytes=settings.config_cache_bytes,
        )
        await stack.enter_async_context(config.running())
        _open = Connections(session, dynamo, redis, broker, config, table, settings, home)
        try:
            yield _open
        finally:
            _open = None


def _keep_to(home: HomeLoop, dynamo: "DynamoDBClient") -> None:
    """Let each call of the client check its event loop, before the SDK does anything for it."""

    def check(**_: Any) -> None:
        home.check()

    dynamo.meta.events.register_first("provide-client-params.dynamodb", check)


def current() -> Connections | None:
    """Return what this process has open in the running event loop, or None."""
    return _open if _open is not None and _open.home.is_running_here else None


def _connections() -> Connections:
    if _open is None:
        raise NotOpen(
            "no connections are open: this works in a handler, or within "
            "'async with open_connections(settings)'"
        )
    return _open


def get_redis_client() -> "Redis":
    """Return the process's one Redis client for handlers.

    It works in the worker's event loop only. In a plain handler, which runs in a thread, write
    `anyio.from_thread.run(get_redis_client().get, "key")`. Raise NotOpen outside
    `open_connections` and within another event loop, as do the client's own methods.
    """
    opened = _connections()
    opened.home.check_unless_in_thread()
    return opened.redis


def get_dynamo_client() -> "DynamoDBClient":
    """Return the process's one DynamoDB client.

    It works in the worker's event loop only, as the Redis client does (see `get_redis_client`).
    Raise NotOpen outside `open_connections` and within another event loop.
    """
    opened = _connections()
    opened.home.check_unless_in_thread()
    return opened.dynamo


async def get_config(key: str) -> dict[str, Any]:
    """Return the whole config item of this key as a plain dict, the caller's own; `{}` without one.

    As fresh as WORKER_CONFIG_TTL says; where that is 0, each call reads it from DynamoDB. In a
    plain handler, write `anyio.from_thread.run(get_config, key)`. Raise NotOpen outside
    `open_connections` and within another event loop, ConfigUnavailable when DynamoDB can't be read
    and no item that is young enough is cached, or when the item holds what can't be used.
    """
    opened = _connections()
    opened.home.check()
    return await opened.config.get(key)
