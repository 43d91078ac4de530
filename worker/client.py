"""A Python producer: enqueue jobs, wait for their results."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import AsyncExitStack
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self, overload

import anyio
from pydantic_core import to_json

from worker import connections
from worker.app import handler_name
from worker.broker import scripts
from worker.broker.connect import open_redis
from worker.broker.dedicated import DedicatedConnection
from worker.broker.result_waiter import ResultWaiter
from worker.errors import NotOpen
from worker.jobs.clock import RedisClock
from worker.jobs.doubles import as_integer
from worker.jobs.job import INTEGER_FIELDS, decode
from worker.jobs.keys import Keys
from worker.jobs.result import Result
from worker.runtime.home_loop import HomeLoop
from worker.runtime.task_group import background
from worker.settings import Settings

if TYPE_CHECKING:
    from typing import Unpack

    from redis.asyncio import Redis

    from worker.signatures import JobOptions, Payload, TakesNoPayload, TakesPayload

_CHUNK_JOBS = 500
_CHUNK_BYTES = 4 * 1024 * 1024
# Seconds. Where Redis's time is known to this, a job is stamped here and pushed by a plain LPUSH,
# which takes less time than the script that stamps it in Redis.
_CLOCK_OFF_BY = 0.01
# A job's JSON before its time, and after it; nothing after it where the job has a time already.
Stamped = tuple[bytes, bytes]
_STAMP, _LIKE_NOW = b',"enqueued_at":', b"1000000000000"  # as long as the time will be

_OTHER_LOOP = (
    "this client is open in another event loop and works only there: within asyncio.run() or in a "
    "loop of your own, open another with 'async with Client() as client'. In a plain handler, you "
    "can also call anyio.from_thread.run(client.enqueue, ...)"
)


class Client:
    """An async context that enqueues jobs and waits for results, in the event loop that opened it.

    Settings are read from the environment where none are given. Within a worker process it uses
    the connections that handlers share. Its methods raise redis.exceptions.RedisError when Redis
    can't be reached, and never repeat a push: whether one whose reply was lost has happened can't
    be known, and a job pushed twice runs twice. They raise NotOpen while it is not open, and in
    another event loop.
    """

    def __init__(self, settings: Settings | None = None) -> None:
        self._settings = settings or Settings()
        self._stack = AsyncExitStack()
        self._redis: Redis | DedicatedConnection | None = None
        self._result_waiter: ResultWaiter | None = None
        self._home: HomeLoop | None = None
        self._known: dict[str, Keys] = {}
        self._new_ids = _random_ids()
        self._clock = RedisClock()

    async def __aenter__(self) -> Self:
        self._home = HomeLoop(_OTHER_LOOP)
        shared = connections.current()
        if shared and shared.settings.redis_url == self._settings.redis_url:
            # No connection is kept here: clients in many handlers would use up the shared ones.
            redis = self._redis = shared.redis
        else:
            redis = await self._stack.enter_async_context(open_redis(self._settings))
            self._redis = dedicated = DedicatedConnection(redis)
            self._stack.push_async_callback(dedicated.close)
        group = await self._stack.enter_async_context(background())
        self._result_waiter = ResultWaiter(redis, self._redis, group)
        self._stack.push_async_callback(self._result_waiter.close)
        self._stack.callback(group.cancel_scope.cancel)
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool | None:
        if self._home is not None:
            self._home.check()
        self._redis = self._result_waiter = self._home = None
        return await self._stack.__aexit__(exc_type, exc, traceback)

    @overload
    async def enqueue(
        self, handler: str, payload: Any = None, **options: "Unpack[JobOptions]"
    ) -> str: ...

    @overload
    async def enqueue(
        self, handler: "TakesNoPayload", payload: None = None, **options: "Unpack[JobOptions]"
    ) -> str: ...

    @overload
    async def enqueue(
        self,
        handler: "TakesPayload[Payload]",
        payload: "Payload",
        **options: "Unpack[JobOptions]",
    ) -> str: ...

    async def enqueue(  # noqa: PLR0913 - a job's fields, by keyword
        self,
        handler: str | Callable[..., Any],
        payload: Any = None,
        *,
        config: str | None = None,
        id: str | None = None,
        queue: str | None = None,
        delay: float | None = None,
        expires_at: int | None = None,
        reply_to: str | None = None,
    ) -> str:
        """Push one job and return its id, a random one where none is given.

        `handler` is the handler's function, or its name. `delay` is in seconds on Redis's clock,
        `expires_at` in ms since the epoch. The payload is anything that pydantic can serialise.
        Raise Malformed for what no worker would take, HandlerError for a function that is no
        handler of any app.
        """
        job = {
            "id": id,
            "handler": handler,
            "payload": payload,
            "config": config,
            "expires_at": expires_at,
            "reply_to": reply_to,
        }
        given = {name: value for name, value in job.items() if value is not None}
        (job_id,) = await self._push([given], queue, delay)
        return job_id

    async def enqueue_many(
        self,
        jobs: Iterable[Mapping[str, Any]],
        *,
        queue: str | None = None,
        delay: float | None = None,
    ) -> list[str]:
        """Push jobs, given as mappings of the job's fields, and return their ids in order.

        They go in chunks of up to 500 jobs. When a chunk fails, the ones before it are pushed. The
        `handler` of a job may be the handler's function, as in `enqueue`.
        Raise Malformed for what no worker would take, before any job of its chunk is pushed.
        """
        return await self._push(jobs, queue, delay)

    async def result(
        self,
        id: str,
        timeout: float | None = None,  # noqa: ASYNC109 - what asyncio.wait_for takes too
        queue: str | None = None,
        *,
        after: Result | None = None,
    ) -> Result:
        """Wait for a job's result and return it. Raise TimeoutError after `timeout` seconds.

        None waits without a limit, 0 looks once. `after` is the result of an earlier job of this
        id, which does not count.
        """
        redis, result_waiter = self._open()
        key = self._keys(queue).result(id)
        # Callers usually wait before the result exists, so the waiter's own look, once it is
        # subscribed, is enough.
        look = timeout == 0 or after is not None
        raw = found = await redis.execute_command("GET", key) if look else None
        if raw is not None and after is not None and Result.from_json(raw) == after:
            raw = None
        if raw is None and timeout == 0:
            raise TimeoutError(f"job {id!r} has no result yet")
        if raw is None:
            try:
                with anyio.fail_after(timeout):
                    raw = await result_waiter.wait(key, after=found)
            except TimeoutError:
                raise TimeoutError(f"job {id!r} has no result after {timeout:g} s") from None
        return Result.from_json(raw)

    async def _push(
        self, jobs: Iterable[Mapping[str, Any]], queue: str | None, delay: float | None
    ) -> list[str]:
        redis, _ = self._open()
        keys = self._keys(queue)
        ids: list[str] = []
        for chunk in self._chunks(jobs, keys, ids):
            if delay is None and self._clock.off_by <= _CLOCK_OFF_BY:
                now = b"%d" % self._clock.now_ms()
                raws = [head + now + tail if tail else head for head, tail in chunk]
                await redis.execute_command("LPUSH", keys.pending, *raws)
            else:
                await self._push_by_script(redis, keys, chunk, delay)
        return ids

    async def _push_by_script(
        self,
        redis: "Redis | DedicatedConnection",
        keys: Keys,
        chunk: list[Stamped],
        delay: float | None,
    ) -> None:
        """Push jobs that Redis stamps with its time, and learn that time from the reply."""
        delay_ms = "" if delay is None else max(0, round(delay * 1000))
        parts = [part for job in chunk for part in job]
        sent = self._clock.sent()
        now = await scripts.enqueue(redis, [keys.pending, keys.scheduled], [delay_ms, *parts])
        self._clock.learn(now, sent)

    def _chunks(
        self, jobs: Iterable[Mapping[str, Any]], keys: Keys, ids: list[str]
    ) -> Iterator[list[Stamped]]:
        """Yield the jobs' bytes chunk by chunk, and add their ids to `ids`."""
        chunk: list[Stamped] = []
        size = 0
        for fields in jobs:
            job = dict(fields)
            if callable(handler := job.get("handler")):
                job["handler"] = handler_name(handler)
            if not INTEGER_FIELDS.isdisjoint(job):
                for name in INTEGER_FIELDS & job.keys():  # older workers refuse 1.7e12
                    job[name] = as_integer(job[name])
            if job.get("id") is None:
                job["id"] = next(self._new_ids)
            if job.get("enqueued_at") is None:
                # Redis's time comes between the two.
                job.pop("enqueued_at", None)
                head, tail = to_json(job, inf_nan_mode="constants")[:-1] + _STAMP, b"}"
                raw = head + _LIKE_NOW + tail
            else:
                raw = head = to_json(job, inf_nan_mode="constants")
                tail = b""
            decode(raw, keys, self._settings.max_job_bytes)
            ids.append(job["id"])
            chunk.append((head, tail))
            size += len(raw)
            if len(chunk) >= _CHUNK_JOBS or size > _CHUNK_BYTES:
                yield chunk
                chunk, size = [], 0
        if chunk:
            yield chunk

    def _keys(self, queue: str | None) -> Keys:
        name = queue or self._settings.queue[0]
        keys = self._known.get(name)
        if keys is None:
            keys = self._known[name] = Keys(name)
        return keys

    def _open(self) -> "tuple[Redis | DedicatedConnection, ResultWaiter]":
        if self._redis is None or self._result_waiter is None or self._home is None:
            raise NotOpen("the client is not open: use it within 'async with Client() as client'")
        self._home.check()
        return self._redis, self._result_waiter


def _random_ids() -> Iterator[str]:
    """Yield ids of 128 random bits. The system is asked once for 64 of them."""
    while True:
        many = os.urandom(1024)
        yield from (many[at : at + 16].hex() for at in range(0, len(many), 16))
