"""Tries what a worker needs of its Redis, before the first job."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio.to_thread
from redis.exceptions import ResponseError

from worker.broker.errors import BROKER_DOWN
from worker.broker.explain import NEEDED, Problem, explain
from worker.jobs.keys import Keys
from worker.settings import Settings

if TYPE_CHECKING:
    from redis.asyncio import Redis

_OLDEST = 7  # major version
_BLOCK = 0.001  # seconds


async def look_at_redis(redis: "Redis", settings: Settings) -> Problem | None:
    """Return what keeps a worker from using this Redis, or None. Change nothing."""
    try:
        problem = _judged(await _hello(redis), f"Redis at {settings.masked_redis_url}")
        if problem is None:
            for name in settings.queue:
                await _try_commands(redis, Keys(name), settings)
    except BROKER_DOWN as error:
        return await anyio.to_thread.run_sync(explain, error, settings, abandon_on_cancel=True)
    return problem


async def _hello(redis: "Redis") -> dict[str, Any]:
    """What the server says of itself. No rights are needed for it, unlike INFO."""
    answer: Any = await redis.execute_command("HELLO")  # type: ignore[no-untyped-call]
    pairs = (
        answer if isinstance(answer, Mapping) else dict(zip(answer[::2], answer[1::2], strict=True))
    )
    return {_text(name): _text(value) for name, value in pairs.items()}


def _text(value: Any) -> Any:
    return value.decode(errors="replace") if isinstance(value, bytes) else value


def _judged(hello: dict[str, Any], where: str) -> Problem | None:
    if hello.get("mode") == "sentinel":
        text = f"{where} is a Sentinel, which holds no jobs: let WORKER_REDIS_URL name the primary"
        return Problem(text, lasts=True)
    major = str(hello.get("version")).partition(".")[0]
    if major.isdecimal() and int(major) < _OLDEST:
        return Problem(f"{where} is too old ({hello['version']}): {NEEDED}", lasts=True)
    if hello.get("role") in ("replica", "slave"):
        text = f"{where} is a replica, which takes no writes: let WORKER_REDIS_URL name its primary"
        return Problem(text, lasts=False)  # a failover may be under way
    return None


async def _try_commands(redis: "Redis", keys: Keys, settings: Settings) -> None:
    """Run what proxies and narrow rights refuse. Raise what no waiting changes.

    Where memory is full, or a failover is under way, a worker starts all the same, and waits.
    """
    nobody = keys.active("trial")
    try:
        await redis.eval("return 1", 1, keys.pending)
        await redis.blmove(nobody, nobody, _BLOCK, "RIGHT", "LEFT")  # type: ignore[arg-type]
    except ResponseError as error:
        if explain(error, settings).lasts:
            raise
