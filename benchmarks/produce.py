"""Our producers, and the bare ones to compare them with: `python -m benchmarks.produce WHAT COUNT`.

probe      enqueue `pickup` jobs one at a time; the handler notes how long they took
roundtrip  enqueue and wait for the result, one at a time; prints the microseconds of each
echo       the same with a bare LPUSH and BLPOP against `benchmarks.bare echo`
many       `Client.enqueue_many`; prints jobs a second and microseconds of CPU for each
pipeline   the same with a bare redis-py pipeline
"""

import asyncio
import json
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio as redis
import uvloop

from benchmarks.peers.producer import PAUSE
from worker import Client

_WARM = 10
_CHUNK = 500  # what enqueue_many sends at once, too


async def probe(count: int) -> None:
    """One at a time, to an idle worker."""
    async with Client() as client:
        for _ in range(count):
            await asyncio.sleep(random.uniform(*PAUSE))
            await client.enqueue("pickup", time.monotonic_ns())


async def roundtrip(count: int) -> list[float]:
    """Enqueue to result, microseconds."""
    async with Client() as client:

        async def call() -> None:
            job_id = await client.enqueue("echo", "hello")
            await client.result(job_id, timeout=10)

        return await _timed(call, count)


async def echo(count: int) -> list[float]:
    """Push to echo, microseconds."""
    async with _bare() as client:

        async def call() -> None:
            await client.lpush("echo", "hello")
            await client.blpop(["echoed"], 4)

        return await _timed(call, count)


async def many(count: int) -> dict[str, float]:
    """All in one call."""
    async with Client() as client:
        jobs = _jobs(count)
        began = time.perf_counter(), time.process_time()
        await client.enqueue_many(jobs)
        return _rate(began, count)


async def pipeline(count: int) -> dict[str, float]:
    """One LPUSH a job, in pipelines."""
    async with _bare() as client:
        jobs = _jobs(count)
        began = time.perf_counter(), time.process_time()
        for first in range(0, count, _CHUNK):
            pipe = client.pipeline(transaction=False)
            for job in jobs[first : first + _CHUNK]:
                pipe.lpush("jobs", json.dumps(job))
            await pipe.execute()
        return _rate(began, count)


def _jobs(count: int) -> list[dict[str, Any]]:
    return [
        {"id": str(number), "handler": "noop", "payload": {"number": number, "text": ""}}
        for number in range(count)
    ]


def _bare() -> "redis.Redis":
    return redis.Redis.from_url(os.environ["WORKER_REDIS_URL"])


def _rate(began: tuple[float, float], count: int) -> dict[str, float]:
    seconds, cpu = time.perf_counter() - began[0], time.process_time() - began[1]
    return {"jobs_per_s": count / seconds, "cpu_us": cpu / count * 1e6}


async def _timed(call: Callable[[], Awaitable[None]], count: int) -> list[float]:
    took = []
    for _ in range(_WARM + count):
        await asyncio.sleep(random.uniform(*PAUSE))
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1e6)
    return took[_WARM:]


if __name__ == "__main__":
    _what: dict[str, Callable[[int], Any]] = {
        "probe": probe,
        "roundtrip": roundtrip,
        "echo": echo,
        "many": many,
        "pipeline": pipeline,
    }
    print(json.dumps(uvloop.run(_what[sys.argv[1]](int(sys.argv[2])))))
