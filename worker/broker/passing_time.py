"""What tests of users ask of their queues: whether anything is left, that time passes, an end.

All functions raise redis.exceptions.RedisError.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from worker.broker import scripts
from worker.jobs.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis


class LeftToDo(NamedTuple):
    """How many jobs are pending, held by one worker, and scheduled for a time that has come."""

    pending: int
    active: int
    due: int


async def left_to_do(redis: "Redis", queues: Sequence[Keys], worker_id: str) -> LeftToDo:
    """Count over all queues at once, since jobs move meanwhile."""
    seconds, micros = await redis.time()
    now = seconds * 1000 + micros // 1000
    async with redis.pipeline(transaction=True) as pipe:
        for keys in queues:
            pipe.llen(keys.pending)
            pipe.llen(keys.active(worker_id))
            pipe.zcount(keys.scheduled, "-inf", now)
        counts = await pipe.execute()
    return LeftToDo(*(sum(counts[place::3]) for place in range(3)))


async def advance(redis: "Redis", queues: Sequence[Keys], ms: int) -> int:
    """Let so many ms pass for the scheduled jobs. Return how many became due."""
    return sum(
        [await scripts.advance(redis, [keys.pending, keys.scheduled], [ms]) for keys in queues]
    )


async def end_blocking_reads(redis: "Redis") -> None:
    """Let workers that wait for a job see that there is none, now instead of within a second."""
    for client in await redis.client_list():
        if client["cmd"] == "blmove":
            await redis.client_unblock(int(client["id"]))
