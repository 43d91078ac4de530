"""A Redis server's version, role, eviction, persistence and clock, as far as it reports them."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True, slots=True)
class Server:
    """What a Redis server reports about itself; None for what it does not report.

    `snapshots` is whether it saves any. `ahead` is how many seconds its clock is ahead of the
    host's.
    """

    name: str
    version: str | None
    redis_version: str | None
    role: str | None
    maxmemory_policy: str | None
    append_only_file: bool | None
    snapshots: bool | None
    ahead: float


async def look_at_server(redis: "Redis") -> Server:
    """Ask the server what it is. What it refuses to report (ACL, a managed service) is None.

    Raise redis.exceptions.RedisError.
    """
    ahead = await _clock_ahead(redis)
    try:
        info = await redis.info()
    except ResponseError:
        info = {}
    try:
        save = (await redis.config_get("save")).get("save")
    except ResponseError:
        save = None
    valkey = info.get("valkey_version")
    aof = info.get("aof_enabled")
    return Server(
        name="Valkey" if valkey else "Redis",
        version=valkey or info.get("redis_version"),
        redis_version=info.get("redis_version"),
        role=info.get("role"),
        maxmemory_policy=info.get("maxmemory_policy"),
        append_only_file=None if aof is None else bool(aof),
        snapshots=None if save is None else bool(save),
        ahead=ahead,
    )


async def _clock_ahead(redis: "Redis") -> float:
    sent = time.time()
    seconds, micros = await redis.time()
    return float(seconds + micros / 1e6 - (sent + time.time()) / 2)
