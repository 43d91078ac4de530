"""Queue inspection and dead-letter administration, for the command line.

No worker needs this to run jobs. All methods raise redis.exceptions.RedisError.
"""

from base64 import b64decode
from collections.abc import AsyncIterator, Collection, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pydantic_core import from_json

from worker.broker import scripts
from worker.errors import Malformed
from worker.jobs.job import decode, redriven
from worker.jobs.keys import Keys

if TYPE_CHECKING:
    from redis.asyncio import Redis

_PAGE = 100  # entries of the dead list read at a time; each may be as large as a job


@dataclass(frozen=True, slots=True)
class WorkerStatus:
    """A worker's lease, and how many jobs it holds.

    `lease_ends_at` is in ms on Redis's clock, `lease_ms` the ms that are left, 0 once it has ended.
    """

    id: str
    live: bool
    lease_ends_at: int
    lease_ms: int
    held: int


@dataclass(frozen=True, slots=True)
class QueueStatus:
    """How many jobs are in each place, and the workers in the order of their ids."""

    pending: int
    active: int
    scheduled: int
    dead: int
    workers: list[WorkerStatus]


@dataclass(frozen=True, slots=True)
class DeadEntry:
    """One entry of the dead list, as far as it can be read.

    `raw` is the entry byte for byte, `fields` its JSON object, `{}` where it is none. `job` is the
    job as `retry` enqueues it. Where that is impossible it is None, and `problem` says why.
    """

    raw: bytes
    fields: dict[str, Any] = field(default_factory=dict)
    id: str | None = None
    handler: str | None = None
    job: bytes | None = None
    problem: str | None = None


class QueueAdmin:
    """One queue as its operators see it. Raise SettingsError for an unusable name."""

    def __init__(self, redis: "Redis", name: str, *, max_job_bytes: int) -> None:
        self.redis = redis
        self._max_job_bytes = max_job_bytes
        self.keys: Keys = Keys(name)

    @property
    def name(self) -> str:
        """The queue's name, the key of its list."""
        return self.keys.pending

    async def status(self) -> QueueStatus:
        """Return the counts of the queue and its workers.

        `active` counts jobs of workers in the list of workers, whether their lease is live or has
        ended. A worker that is missing there is added by the next recoverer that scans its list.
        """
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.llen(self.keys.pending)
            pipe.zcard(self.keys.scheduled)
            pipe.llen(self.keys.dead)
            pipe.zrange(self.keys.workers, 0, -1, withscores=True)
            pipe.time()
            pending, scheduled, dead, leases, (seconds, micros) = await pipe.execute()
        now = seconds * 1000 + micros // 1000
        async with self.redis.pipeline(transaction=False) as pipe:
            for worker_id, _ in leases:
                pipe.llen(self.keys.active("").encode() + worker_id)
            held = await pipe.execute()
        workers = [
            WorkerStatus(
                id=worker_id.decode(errors="replace"),
                live=ends_at > now,
                lease_ends_at=int(ends_at),
                lease_ms=max(0, int(ends_at) - now),
                held=count,
            )
            for (worker_id, ends_at), count in zip(leases, held, strict=True)
        ]
        workers.sort(key=lambda worker: worker.id)
        return QueueStatus(pending, sum(held), scheduled, dead, workers)

    async def dead(self) -> AsyncIterator[DeadEntry]:
        """Yield the entries of the dead list as it is now, newest first."""
        left = await self._count_dead()
        while left > 0:
            # Indexes count from the oldest, so that jobs buried meanwhile shift none of them.
            last = -left + min(left, _PAGE) - 1
            page = await self._page(-left, last)
            for raw in page:
                yield self._entry(raw)
            left = -last - 1

    async def find_dead(self, ids: Collection[str]) -> list[DeadEntry]:
        """Return every entry of these job ids, oldest first. An id may have several."""
        found = [entry async for entry in self.dead() if entry.id in ids]
        return found[::-1]

    async def retry(self, entries: Sequence[DeadEntry]) -> int:
        """Enqueue their jobs, with attempts and crashes at 0. Return how many.

        Entries with a problem, and entries that are no longer in the list, are skipped.
        """
        arguments = [text for entry in entries if entry.job for text in (entry.raw, entry.job)]
        if not arguments:
            return 0
        keys = [self.keys.pending, self.keys.dead]
        count: int = await scripts.redrive(self.redis, keys, arguments)
        return count

    async def retry_all(self) -> AsyncIterator[tuple[int, list[DeadEntry]]]:
        """Retry the dead list as it is now, oldest first. Yield, page by page, how many jobs were
        enqueued, and the entries that have a problem.

        Jobs that are buried again meanwhile are left, or a broken handler would keep this going for
        ever.
        """
        left, kept = await self._count_dead(), 0
        while left > 0:
            page = await self._page(-kept - min(left, _PAGE), -kept - 1)
            if not page:
                return
            left -= len(page)
            entries = [self._entry(raw) for raw in reversed(page)]
            refused = [entry for entry in entries if entry.problem]
            kept += len(refused)
            yield await self.retry(entries), refused

    async def drop(self, entries: Sequence[DeadEntry]) -> int:
        """Delete these entries from the dead list. Return how many were still there."""
        async with self.redis.pipeline(transaction=False) as pipe:
            for entry in entries:
                pipe.lrem(self.keys.dead, -1, entry.raw)  # type: ignore[arg-type]
            return sum(await pipe.execute())

    async def drop_all(self) -> int:
        """Delete the whole dead list. Return how many entries it had."""
        async with self.redis.pipeline(transaction=True) as pipe:
            pipe.llen(self.keys.dead)
            pipe.unlink(self.keys.dead)
            count: int = (await pipe.execute())[0]
            return count

    async def _count_dead(self) -> int:
        count: int = await self.redis.llen(self.keys.dead)
        return count

    async def _page(self, first: int, last: int) -> list[bytes]:
        page: list[Any] = await self.redis.lrange(self.keys.dead, first, last)
        return page

    def _entry(self, raw: bytes) -> DeadEntry:
        try:
            fields = from_json(raw)
            coded = fields.get("job_base64")
            job = fields["job"].encode() if coded is None else b64decode(coded, validate=True)
        except (ValueError, TypeError, KeyError, AttributeError):
            return DeadEntry(raw, problem="it is no entry that a worker wrote")
        try:
            decoded = decode(job, self.keys, self._max_job_bytes)
        except Malformed as error:
            problem = f"it is no job: {error}"
            return DeadEntry(raw, fields, error.job_id, error.handler, problem=problem)
        next_raw = redriven(job)
        return DeadEntry(raw, fields, decoded.id, decoded.handler, next_raw)
