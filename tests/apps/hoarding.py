"""Handlers that keep connections of the shared Redis client, and others that need one."""

import asyncio
from typing import Any

from worker import App, Client, get_redis_client

app = App()
kept: list[Any] = []


@app.handler
async def leaves_a_subscription_open(payload: Any) -> None:
    pubsub = get_redis_client().pubsub()
    await pubsub.subscribe("channel")
    kept.append(pubsub)


@app.handler
async def forgets_a_subscription(payload: Any) -> None:
    """Nothing refers to it any more, and its connection never comes back."""
    await get_redis_client().pubsub().subscribe("channel")


@app.handler
async def keeps_a_connection(payload: Any) -> None:
    kept.append(await get_redis_client().connection_pool.get_connection())


@app.handler
async def blocks_in_the_background(payload: int) -> None:
    """So many blocking reads, which go on after the job has ended."""
    redis = get_redis_client()
    kept.extend(asyncio.ensure_future(redis.blpop(f"never-{n}", 3)) for n in range(payload))


@app.handler
async def watches(payload: Any) -> None:
    pipe = get_redis_client().pipeline()
    await pipe.watch("key")
    kept.append(pipe)


@app.handler
async def uses_one(payload: Any) -> None:
    await get_redis_client().get("key")


@app.handler
async def enqueues(payload: Any) -> None:
    async with Client() as client:
        await client.enqueue("echo", payload)


@app.handler
async def echo(payload: Any) -> Any:
    return payload
