"""The bare loop: the least that a worker with results can be, and so the yardstick.

redis-py, uvloop, hiredis and two Lua scripts. One takes 100 jobs into an active list; an asyncio
task is started for each; one acknowledges 100 with their results. No lease, no time limit, no
retry, no validation, no config, no signal: a killed bare loop loses what it holds.

    python -m benchmarks.bare loop|getitem|echo
"""

import asyncio
import json
import os
import sys
from collections.abc import Awaitable, Callable
from typing import Any

import redis.asyncio as redis
import uvloop

from benchmarks import meter

_TAKE = """
local jobs = {}
for i = 1, tonumber(ARGV[1]) do
  local job = redis.call('LMOVE', KEYS[1], KEYS[2], 'RIGHT', 'LEFT')
  if not job then break end
  jobs[i] = job
end
return jobs
"""
_ACKNOWLEDGE = """
for i = 2, #KEYS do
  redis.call('LREM', KEYS[1], -1, ARGV[2 * i - 3])
  redis.call('SET', KEYS[i], ARGV[2 * i - 2], 'PX', 86400000)
end
"""

Handler = Callable[[dict[str, Any]], Awaitable[Any]]


async def loop(client: redis.Redis, handler: Handler, concurrency: int) -> None:
    """Take, run and acknowledge until killed."""
    take, acknowledge = client.register_script(_TAKE), client.register_script(_ACKNOWLEDGE)

    async def run(raw: bytes) -> tuple[str, str]:
        job = json.loads(raw)
        result = await handler(job)
        answer = {"id": job["id"], "status": "succeeded", "result": result}
        return f"{{jobs}}:result:{job['id']}", json.dumps(answer)

    while True:
        jobs = await take(keys=["jobs", "{jobs}:active:bare"], args=[concurrency])
        if not jobs:
            await asyncio.sleep(0.002)
            continue
        tasks = [asyncio.create_task(run(raw)) for raw in jobs]
        keys, arguments = ["{jobs}:active:bare"], []
        for raw, task in zip(jobs, tasks, strict=True):
            key, result = await task
            keys.append(key)
            arguments += [raw, result]
        await acknowledge(keys=keys, args=arguments)


async def noop(job: dict[str, Any]) -> None:
    """Do nothing with a job's payload."""
    del job
    meter.hit()


async def with_getitem(client: redis.Redis, concurrency: int) -> None:
    """The bare loop with one `GetItem` a job, all of a batch at once."""
    import aioboto3  # noqa: PLC0415 - for this variant only
    from aiobotocore.config import AioConfig  # noqa: PLC0415

    config = AioConfig(max_pool_connections=concurrency)
    async with aioboto3.Session().client("dynamodb", config=config) as dynamo:

        async def handler(job: dict[str, Any]) -> None:
            key = {"key": {"S": job["config"]}}
            await dynamo.get_item(TableName="config", Key=key, ConsistentRead=True)
            meter.hit()

        await loop(client, handler, concurrency)


async def echo(client: redis.Redis) -> None:
    """One round trip to take a message, one to send it back."""
    while True:
        taken = await client.blpop(["echo"], 1)
        if taken:
            await client.lpush("echoed", taken[1])


async def _main(what: str) -> None:
    concurrency = int(os.environ.get("WORKER_CONCURRENCY", "100"))
    async with redis.Redis.from_url(os.environ["WORKER_REDIS_URL"]) as client:
        if what == "loop":
            await loop(client, noop, concurrency)
        elif what == "getitem":
            await with_getitem(client, concurrency)
        else:
            await echo(client)


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1]))
