"""What a Redis server says of itself: version, role, eviction, persistence, clock."""

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from redis.exceptions import ResponseError

if TYPE_CHECKING:
    from redis.asyncio import Redis


@dataclass(frozen=True, slots=True)
class Server:
    """What a Redis server tells of itself; None stands for what it does not tell.

    `snapshots` says whether it saves any, `ahead` how many seconds its clock is before the host's.
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
    """Ask the server what it is. What it refuses to tell (rights, a managed service) is None."""
    ahead = await _clock_ahead(redis)
    try:
        told = await redis.info()
    except ResponseError:
        told = {}
    try:
        save = (await redis.config_get("save")).get("save")
    except ResponseError:
        save = None
    valkey = told.get("valkey_version")
    aof = told.get("aof_enabled")
    return Server(
        name="Valkey" if valkey else "Redis",
        version=valkey or told.get("redis_version"),
        redis_version=told.get("redis_version"),
        role=told.get("role"),
        maxmemory_policy=told.get("maxmemory_policy"),
        append_only_file=None if aof is None else bool(aof),
        snapshots=None if save is None else bool(save),
        ahead=ahead,
    )


async def _clock_ahead(redis: "Redis") -> float:
    sent = time.time()
    seconds, micros = await redis.time()
    return float(seconds + micros / 1e6 - (sent + time.time()) / 2)
