"""Opens Redis clients."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from worker.broker.connection import ResilientPool
from worker.broker.shared_pool import SharedPool
from worker.broker.url import connection_options
from worker.errors import SettingsError
from worker.settings import Settings

# Seconds. Blocking reads last less than a second, so five without a reply is an outage.
REDIS_TIMEOUT = 5.0
REDIS_CONNECT_TIMEOUT = 2.0
# Beside one connection for each job that runs: a handler that waits for a result holds two.
_SPARE = 4
# Of each queue: exchanges, the blocking read, its lease. Of all: heartbeat, recoverer, burst.
_PER_QUEUE, _PER_WORKER = 4, 4


@asynccontextmanager
async def open_redis(settings: Settings) -> AsyncIterator["Redis"]:
    """The async Redis client of a producer or a command, closed with the context.

    It never sends a command twice by itself: a claim or a push whose reply was lost would happen
    twice. Its callers know what is safe to repeat. Raise SettingsError for a URL with options that
    redis-py does not know.
    """
    async with _client(_pool(ResilientPool, settings, _for_users(settings))) as redis:
        yield redis


@asynccontextmanager
async def open_worker_redis(settings: Settings) -> AsyncIterator[tuple["Redis", "Redis"]]:
    """A worker's two clients, closed with the context: the handlers' and the worker's own.

    Both lead to the same Redis, each with a budget of connections. Handlers may use up theirs
    (subscriptions left open, blocking reads). The worker's exchanges, heartbeat and recovery never
    wait for those, so that no handler can make it lose its lease. Otherwise as `open_redis`.
    """
    shared = _pool(SharedPool, settings, _for_users(settings))
    own = _pool(ResilientPool, settings, _PER_QUEUE * len(settings.queue) + _PER_WORKER)
    async with _client(shared) as for_handlers, _client(own) as for_worker:
        yield for_handlers, for_worker


def _for_users(settings: Settings) -> int:
    return settings.concurrency + _SPARE


@asynccontextmanager
async def _client(pool: ResilientPool) -> AsyncIterator["Redis"]:
    # The pool is not the client's own: a handler's 'async with get_redis_client()' must not cut
    # the connections that others use.
    redis = Redis(connection_pool=pool)
    try:
        yield redis
    finally:
        await redis.aclose()
        await pool.aclose()


def _pool(kind: type[ResilientPool], settings: Settings, size: int) -> ResilientPool:
    ours: dict[str, Any] = {
        "decode_responses": False,
        "max_connections": size,
        "timeout": REDIS_TIMEOUT,
        "socket_timeout": REDIS_TIMEOUT,
        "socket_connect_timeout": REDIS_CONNECT_TIMEOUT,
        "socket_keepalive": True,
        "retry": Retry(NoBackoff(), 0),
    }
    try:
        pool = kind(**connection_options(settings.redis_url.get_secret_value(), ours))
        # Opens nothing, but refuses options that it does not know.
        pool.make_connection()  # type: ignore[no-untyped-call]
    except SettingsError:
        raise
    except (ValueError, TypeError, RedisError) as error:
        raise SettingsError(f"WORKER_REDIS_URL can't be used: {error}") from error
    return pool
