"""What must hold before a worker takes its first job; says plainly what does not."""

import anyio
from redis.exceptions import AuthenticationError, NoPermissionError, RedisError

from worker.connections import Connections
from worker.errors import ConfigUnavailable, StartupError

_PAUSE = 0.2  # seconds between tries
# A key that hardly exists: the read tells whether the table, its key and the rights are there.
_PROBE = "worker-startup-probe"


async def wait_until_ready(connections: Connections) -> None:
    """Wait for Redis and the config table, WORKER_STARTUP_TIMEOUT seconds at most.

    Raises StartupError, at once for what waiting does not mend.
    """
    settings = connections.settings
    looks = {
        f"Redis at {settings.masked_redis_url}": _look_at_redis,
        f"DynamoDB's table {settings.config_table!r}": _look_at_table,
    }
    problem = ""
    try:
        with anyio.fail_after(max(0.1, settings.startup_timeout)):
            while looks:
                what, look = next(iter(looks.items()))
                problem = problem or f"{what} did not answer"
                try:
                    await look(connections)
                except _NotYet as error:
                    problem = str(error)
                    await anyio.sleep(_PAUSE)
                else:
                    problem = ""
                    del looks[what]
    except TimeoutError:
        raise StartupError(
            f"{problem}; gave up after {settings.startup_timeout:g} s (WORKER_STARTUP_TIMEOUT)"
        ) from None


class _NotYet(Exception):
    """Something is not there, and may come."""


async def _look_at_redis(connections: Connections) -> None:
    url = connections.settings.masked_redis_url
    try:
        await connections.broker.ping()
    except (AuthenticationError, NoPermissionError) as error:
        raise StartupError(
            f"Redis at {url} refuses these credentials ({error}): mend WORKER_REDIS_URL"
        ) from error
    except (RedisError, OSError) as error:
        raise _NotYet(f"Redis at {url} can't be reached ({error})") from error


async def _look_at_table(connections: Connections) -> None:
    try:
        await connections.table.read([_PROBE])
    except ConfigUnavailable as error:
        if error.misconfigured:
            raise StartupError(str(error)) from error
        raise _NotYet(str(error)) from error
