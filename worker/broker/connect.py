"""Opens the one async Redis client."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import parse_url
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError

from worker.broker.connection import sturdy
from worker.errors import SettingsError
from worker.settings import Settings

# Seconds. Blocking reads last less than a second, so five without a reply is an outage.
REDIS_TIMEOUT = 5.0
REDIS_CONNECT_TIMEOUT = 2.0


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
