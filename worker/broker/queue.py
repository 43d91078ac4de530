"""Every Redis command of a worker: exchange, blocking read, lease, recovery. Redis decides.

Each command is sent once. When its reply does not arrive, whether Redis did it is unknown. Every
script is safe to repeat. After a lost claim, `register` returns what the active list holds.
"""

from collections.abc import Awaitable, Generator, Sequence
from dataclasses import dataclass
from types import coroutine
from typing import TYPE_CHECKING, Any, NamedTuple

from redis.exceptions import NoScriptError, ResponseError

from worker.broker import scripts
from worker.broker.dedicated import DedicatedConnection
from worker.jobs.clock import RedisClock
from worker.jobs.keys import Keys
from worker.jobs.outcome import Outcome

if TYPE_CHECKING:
    from redis.asyncio import Redis

# Bytes. A claim stops at the job that goes past this, so that a hundred of the largest jobs do not
# arrive at once.
CLAIM_BYTES = 16 * 1024 * 1024
_SCAN_PAGE = 500  # keys that Redis looks at in one step of a scan


@dataclass(frozen=True, slots=True)
class Exchange:
    """The reply to one exchange.

    `live` is whether the lease is, `held` the length of the active list now, `next_due` in how many
    ms the next scheduled job is due (-1 for none). `refused` are the indexes of outcomes whose job
    was no longer in the active list. `complaints` are Redis's errors where a result could not be
    pushed to its `reply_to` or published, by the outcome's index. `jobs` are claimed, oldest first.
    """

    live: bool
    held: int
    next_due: int
    refused: list[int]
    complaints: dict[int, str]
    jobs: list[bytes]


class Unfinished(NamedTuple):
    """How many jobs of a queue are not final yet; `next_due` is in ms, 0 with none scheduled."""

    pending: int
    scheduled: int
    active: int
    next_due: int

    @property
    def total(self) -> int:
        """All of them."""
        return self.pending + self.scheduled + self.active


class Queue:
    """One queue, as one worker sees it. All methods raise redis.exceptions.RedisError."""

    def __init__(self, redis: "Redis", name: str, worker_id: str, clock: RedisClock) -> None:
        self._redis = redis
        self._waiting = DedicatedConnection(redis)
        self._exchanging = DedicatedConnection(redis)
        self._worker_id = worker_id
        self._clock = clock
        self._scan_at = 0
        self.keys: Keys = Keys(name)
        self._active = self.keys.active(worker_id)

    @property
    def name(self) -> str:
        """The queue's name, the key of its list."""
        return self.keys.pending

    async def exchange(self, outcomes: Sequence[Outcome], limit: int) -> Exchange:
        """Record these outcomes and claim up to `limit` jobs, in one atomic step.

        One at a time: a second one meanwhile takes another connection of the pool.
        """
        return await (await self.send(outcomes, limit))

    async def send(self, outcomes: Sequence[Outcome], limit: int) -> Awaitable[Exchange]:
        """Write an exchange to the socket. Awaiting what is returned reads its reply.

        Redis works on it in between. An exchange whose reply is not read may have happened.
        """
        keys, arguments = self._exchange(self._worker_id, "owner", outcomes, limit)
        sent = self._clock.sent()
        reply = await self._exchanging.send(*scripts.exchange.command(keys, arguments))
        return self._receive(reply, sent, keys, arguments)

    async def has_recorded(self, outcome: Outcome) -> bool:
        """Return whether Redis holds exactly the result of this outcome.

        False where that can't be seen: the outcome has no result, the result has expired or was
        replaced, or this user may not read it (ACL: +get).
        """
        if outcome.result_id is None or not outcome.result:
            return False
        try:
            found: Any = await self._redis.get(self.keys.result(outcome.result_id))
        except ResponseError:
            return False
        return bool(found == outcome.result)

    async def recover(self, worker_id: str, outcomes: Sequence[Outcome]) -> Exchange:
        """Record outcomes for jobs of another worker, unless its lease is live.

        A worker that holds no job any more is removed from the list of workers.
        """
        keys, arguments = self._exchange(worker_id, "recoverer", outcomes, 0)
        sent = self._clock.sent()
        return self._exchanged(await scripts.exchange(self._redis, keys, arguments), sent)

    def _exchange(
        self, worker_id: str, caller: str, outcomes: Sequence[Outcome], limit: int
    ) -> tuple[list[Any], list[Any]]:
        """Return the script's keys and arguments."""
        names = self.keys
        active = names.active(worker_id)
        keys: list[Any] = [names.pending, active, names.workers, names.scheduled, names.dead]
        arguments: list[Any] = [worker_id, caller, limit, CLAIM_BYTES]
        for outcome in outcomes:
            has_result = outcome.result_id is not None and outcome.result
            keys.append(names.result(outcome.result_id) if has_result else names.pending)  # type: ignore[arg-type]
            arguments += outcome.arguments
        return keys, arguments

    @coroutine  # a generator, so that it may be left unread: see DedicatedConnection
    def _receive(
        self, reply: Any, sent: float, keys: list[Any], arguments: list[Any]
    ) -> Generator[Any, Any, Exchange]:
        try:
            answer = yield from reply
        except NoScriptError:
            command = scripts.exchange.whole_command(keys, arguments)
            answer = yield from self._exchanging.execute_command(*command).__await__()
        return self._exchanged(answer, sent)

    def _exchanged(self, answer: list[Any], sent: float) -> Exchange:
        now, live, held, next_due, refused, complaints, jobs = answer
        self._clock.learn(now, sent)
        return Exchange(
            live == 1,
            held,
            next_due,
            [index - 1 for index in refused],
            {complaints[i] - 1: _text(complaints[i + 1]) for i in range(0, len(complaints), 2)},
            jobs,
        )

    async def wait(self, seconds: float) -> bytes | None:
        """Wait up to `seconds` for a job and claim it. Return None when none came.

        Redis wakes the worker that has waited longest, and only that one. Never cancel this: Redis
        may have moved the job already.
        """
        job: bytes | None = await self._waiting.execute_command(
            "BLMOVE", self.keys.pending, self._active, "RIGHT", "LEFT", seconds
        )
        return job

    async def register(self, lease: float) -> list[bytes]:
        """Take a lease of so many seconds. Return the jobs in the active list, oldest first."""
        sent = self._clock.sent()
        now, held = await scripts.register(
            self._redis, [self._active, self.keys.workers], [self._worker_id, round(lease * 1000)]
        )
        self._clock.learn(now, sent)
        jobs: list[bytes] = held
        return jobs

    async def renew(self, lease: float) -> int | None:
        """Renew the lease for so many seconds. Return the length of the active list; None where
        the lease had ended.
        """
        sent = self._clock.sent()
        now, renewed, held = await scripts.renew(
            self._redis, [self.keys.workers, self._active], [self._worker_id, round(lease * 1000)]
        )
        self._clock.learn(now, sent)
        return held if renewed else None

    async def deregister(self) -> int:
        """Give back every job of the active list and end the lease. Return how many jobs."""
        count: int = await scripts.deregister(
            self._redis,
            [self.keys.pending, self._active, self.keys.workers],
            [self._worker_id],
        )
        return count

    async def expired_workers(self) -> list[str]:
        """Return the ids of workers whose lease has ended, the one that ended first in front.

        Each call also scans one more page of Redis's keys for active lists without any lease.
        """
        prefix = self.keys.active("")
        self._scan_at, found = await self._redis.scan(
            self._scan_at, match=f"{_escaped(prefix)}*", count=_SCAN_PAGE
        )
        owners = [_text(key)[len(prefix) :] for key in found]
        expired = await scripts.expired_workers(self._redis, [self.keys.workers, *found], owners)
        return [_text(worker_id) for worker_id in expired]

    async def active(self, worker_id: str, first: int, count: int) -> list[bytes]:
        """Return up to `count` jobs of a worker's active list from index `first`, newest first."""
        key = self.keys.active(worker_id)
        page: Any = await self._redis.lrange(key, first, first + count - 1)
        return list(page)

    async def pending(self) -> int:
        """Return how many jobs are pending."""
        count: Any = await self._redis.llen(self.keys.pending)
        return int(count)

    async def unfinished(self) -> Unfinished:
        """Return how many jobs are pending, scheduled, or active under any worker."""
        names = self.keys
        return Unfinished(
            *await scripts.count_unfinished(
                self._redis, [names.pending, names.scheduled, names.workers], [names.active("")]
            )
        )


def _text(value: bytes | str) -> str:
    return value if isinstance(value, str) else value.decode(errors="surrogateescape")


def _escaped(text: str) -> str:
    """Escape what SCAN would take for a pattern."""
    return "".join(f"\\{char}" if char in "*?[]\\^" else char for char in text)
