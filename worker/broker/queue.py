"""Every Redis command of a worker: wait, exchange, lease. Redis decides; this only asks.

A command is sent once. A reply that does not arrive leaves open whether Redis did it, and every
script is safe to repeat; who claims must look into the active list afterwards (`register`).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from worker.broker import scripts
from worker.broker.dedicated import DedicatedConnection
from worker.jobs.clock import RedisClock
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome

if TYPE_CHECKING:
    from redis.asyncio import Redis

# One claim takes no more than this and the job that goes past it, so that jobs of the largest
# size do not come a hundred at a time.
CLAIM_BYTES = 16 * 1024 * 1024
_SCAN_PAGE = 500


@dataclass(frozen=True, slots=True)
class Exchange:
    """What came of one turn. `next_due` is in ms, -1 for none; `complaints` are what Redis said
    where it would not push a result to its job's `reply_to`, by the outcome's index.
    """

    live: bool
    held: int
    next_due: int
    refused: list[int]
    complaints: dict[int, str]
    jobs: list[bytes]


class Queue:
    """One queue, as the worker `worker` sees it. All methods raise redis.exceptions.RedisError."""

    def __init__(self, redis: "Redis", name: str, worker: str, clock: RedisClock) -> None:
        self._redis = redis
        self._waiting = DedicatedConnection(redis)
        self._exchanging = DedicatedConnection(redis)
        self._worker = worker
        self._clock = clock
        self._scan_at = 0
        self.keys = Keys(name)
        self._active = self.keys.active(worker)

    @property
    def name(self) -> str:
        """The queue's name, the key of its list."""
        return self.keys.pending

    async def exchange(self, outcomes: Sequence[Outcome], limit: int) -> Exchange:
        """Settle these outcomes and claim up to `limit` jobs, in one atomic step; one at a time."""
        return await self._exchange(self._exchanging, self._worker, "owner", outcomes, limit)

    async def recover(self, worker: str, outcomes: Sequence[Outcome]) -> Exchange:
        """Settle jobs of another worker, unless its lease is live; forget it once it holds none."""
        return await self._exchange(self._redis, worker, "recoverer", outcomes, 0)

    async def _exchange(
        self,
        redis: "Redis | DedicatedConnection",
        worker: str,
        caller: str,
        outcomes: Sequence[Outcome],
        limit: int,
    ) -> Exchange:
        names = self.keys
        active = names.active(worker)
        keys: list[Any] = [names.pending, active, names.workers, names.scheduled, names.dead]
        arguments: list[Any] = [worker, caller, limit, CLAIM_BYTES]
        for outcome in outcomes:
            has_result = outcome.result_id is not None and outcome.result
            keys.append(names.result(outcome.result_id) if has_result else names.pending)  # type: ignore[arg-type]
            arguments += outcome.arguments
        sent = self._clock.sent()
        now, live, held, next_due, refused, told, jobs = await scripts.exchange(
            redis, keys, arguments
        )
        self._clock.learn(now, sent)
        complaints = {told[i] - 1: _text(told[i + 1]) for i in range(0, len(told), 2)}
        return Exchange(live == 1, held, next_due, [i - 1 for i in refused], complaints, jobs)

    async def wait(self, seconds: float) -> bytes | None:
        """Claim one job, waiting for it; None when none came. Keep this below a second.

        Redis wakes the worker that waits longest, and only that one. Never cancel this: Redis may
        have moved the job already.
        """
        job: bytes | None = await self._waiting.execute_command(
            "BLMOVE", self.keys.pending, self._active, "RIGHT", "LEFT", seconds
        )
        return job

    async def register(self, lease: float) -> list[bytes]:
        """Take a lease of so many seconds, and tell what the active list holds, oldest first."""
        sent = self._clock.sent()
        now, held = await scripts.register(
            self._redis, [self._active, self.keys.workers], [self._worker, round(lease * 1000)]
        )
        self._clock.learn(now, sent)
        jobs: list[bytes] = held
        return jobs

    async def renew(self, lease: float) -> int | None:
        """Renew the lease by so many seconds, and tell how many jobs the active list holds; None
        where the lease had ended.
        """
        sent = self._clock.sent()
        now, renewed, held = await scripts.renew(
            self._redis, [self.keys.workers, self._active], [self._worker, round(lease * 1000)]
        )
        self._clock.learn(now, sent)
        return held if renewed else None

    async def leave(self) -> int:
        """Give back all that the active list holds and hand in the lease; tells how many jobs."""
        count: int = await scripts.deregister(
            self._redis,
            [self.keys.pending, self._active, self.keys.workers],
            [self._worker],
        )
        return count

    async def lapsed(self) -> list[str]:
        """The workers whose lease has ended, longest dead first.

        Looks at one more page of Redis's keys each time, for active lists that have no lease.
        """
        prefix = self.keys.active("")
        self._scan_at, found = await self._redis.scan(
            self._scan_at, match=f"{_escaped(prefix)}*", count=_SCAN_PAGE
        )
        workers = [_text(key)[len(prefix) :] for key in found]
        lapsed = await scripts.expired_workers(self._redis, [self.keys.workers, *found], workers)
        return [_text(worker) for worker in lapsed]

    async def active(self, worker: str, first: int, count: int) -> list[bytes]:
        """Some of what a worker's active list holds, newest first."""
        key = self.keys.active(worker)
        page: Any = await self._redis.lrange(key, first, first + count - 1)
        return list(page)

    async def is_finished(self) -> bool:
        """Whether nothing is pending, scheduled, or active anywhere."""
        names = self.keys
        left: int = await scripts.count_unfinished(
            self._redis, [names.pending, names.scheduled, names.workers], [names.active("")]
        )
        return left == 0


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors="surrogateescape")


def _escaped(text: str) -> str:
    """Text with nothing in it that SCAN would take for a pattern."""
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in text)
