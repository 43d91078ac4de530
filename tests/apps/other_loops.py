"""Plain handlers that call async code: in loops of their own, which must fail, and as they should.

Each way is an entry of WRONG or RIGHT, so that a test can go through all of them.
"""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import uvloop
from anyio import from_thread

from worker import (
    App,
    Client,
    Settings,
    get_config,
    get_dynamo_client,
    get_redis_client,
    open_connections,
)

app = App()

TABLE = Settings().config_table
# What `opens` opens in the worker's loop, for others to use in theirs.
kept: dict[str, Any] = {}


@app.handler
async def opens(payload: Any) -> None:
    kept["opened"], kept["close"] = asyncio.Event(), asyncio.Event()
    kept["task"] = asyncio.create_task(_hold_open())
    await kept["opened"].wait()


@app.handler
async def closes(payload: Any) -> None:
    kept["close"].set()
    await kept["task"]


async def _hold_open() -> None:
    redis = get_redis_client()
    kept["loop"] = asyncio.get_running_loop()
    async with (
        Client() as kept["client"],
        redis.pubsub() as kept["pubsub"],
        redis.pipeline() as kept["watching"],
        redis.client() as kept["single"],
    ):
        await kept["pubsub"].subscribe("channel")
        await kept["watching"].watch("key")
        kept["opened"].set()
        await kept["close"].wait()


# -- wrong: the process's clients in another loop --------------------------------------------------


async def _accessor_within() -> Any:
    return await get_redis_client().get("key")


async def _dynamo_accessor_within() -> Any:
    return get_dynamo_client()


async def _pipeline(redis: Any) -> Any:
    async with redis.pipeline() as pipe:
        pipe.get("key")
        return await pipe.execute()


async def _subscribe(redis: Any) -> Any:
    async with redis.pubsub() as pubsub:
        await pubsub.subscribe("channel")


async def _lock(redis: Any) -> Any:
    async with redis.lock("lock", timeout=1):
        pass


async def _scan(redis: Any) -> Any:
    return [key async for key in redis.scan_iter()]


async def _gather(redis: Any) -> Any:
    return await asyncio.gather(*(redis.get(f"{n}") for n in range(20)))


async def _get_item(dynamo: Any) -> Any:
    return await dynamo.get_item(TableName=TABLE, Key={"key": {"S": "key"}})


async def _paginate(dynamo: Any) -> Any:
    return [page async for page in dynamo.get_paginator("scan").paginate(TableName=TABLE)]


async def _wait_for_table(dynamo: Any) -> Any:
    await dynamo.get_waiter("table_exists").wait(TableName=TABLE)


async def _opens_all_again() -> None:
    async with open_connections(Settings()):
        pass


async def _leaves(client: Any) -> None:
    await client.__aexit__(None, None, None)


def _in_a_thread_of_its_own(work: Callable[[], Any]) -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(work).result()


def _on_uvloop(work: Awaitable[Any]) -> Any:
    loop = uvloop.new_event_loop()
    try:
        return loop.run_until_complete(work)
    finally:
        loop.close()


run = asyncio.run
WRONG: dict[str, Callable[[], Any]] = {
    "config": lambda: run(get_config("key")),
    "config on uvloop": lambda: _on_uvloop(get_config("key")),
    "config in a thread of its own": lambda: _in_a_thread_of_its_own(lambda: run(get_config("k"))),
    "redis": lambda: run(get_redis_client().get("key")),  # type: ignore[arg-type]
    "redis on uvloop": lambda: _on_uvloop(get_redis_client().get("key")),
    "redis from within": lambda: run(_accessor_within()),
    "redis many times": lambda: run(_gather(get_redis_client())),
    "pipeline": lambda: run(_pipeline(get_redis_client())),
    "blocking read": lambda: run(get_redis_client().blpop("never", 1)),  # type: ignore[arg-type]
    "subscribe": lambda: run(_subscribe(get_redis_client())),
    "lock": lambda: run(_lock(get_redis_client())),
    "scan": lambda: run(_scan(get_redis_client())),
    "pool": lambda: run(get_redis_client().connection_pool.get_connection()),
    "disconnect": lambda: run(get_redis_client().connection_pool.disconnect()),
    "subscription of another loop": lambda: run(kept["pubsub"].get_message(timeout=1)),
    "subscribe on one of another loop": lambda: run(kept["pubsub"].subscribe("more")),
    "close one of another loop": lambda: run(kept["pubsub"].aclose()),
    "pipeline that watches in another loop": lambda: run(kept["watching"].get("key")),
    "connection of another loop": lambda: run(kept["single"].get("key")),
    "dynamo": lambda: run(_get_item(get_dynamo_client())),
    "dynamo from within": lambda: run(_dynamo_accessor_within()),
    "dynamo on uvloop": lambda: _on_uvloop(_get_item(get_dynamo_client())),
    "paginator": lambda: run(_paginate(get_dynamo_client())),
    "waiter": lambda: run(_wait_for_table(get_dynamo_client())),
    "client": lambda: run(kept["client"].enqueue("echo")),
    "client, many": lambda: run(kept["client"].enqueue_many([{"handler": "echo"}])),
    "client, later": lambda: run(kept["client"].enqueue("echo", delay=1)),
    "client's result": lambda: run(kept["client"].result("nobody", 1)),
    "client's look": lambda: run(kept["client"].result("nobody", 0)),
    "client closed": lambda: run(_leaves(kept["client"])),
    "open all again": lambda: run(_opens_all_again()),
}


@app.handler
def does_wrong(payload: str) -> Any:
    return WRONG[payload]()


@app.handler
async def does_wrong_in_a_thread(payload: str) -> Any:
    return await asyncio.to_thread(WRONG[payload])


# -- right -----------------------------------------------------------------------------------------


async def _client_of_its_own() -> Any:
    async with Client() as client:
        return (await client.result(await client.enqueue("echo", "hello"), 10)).result


def _of_redis(command: str, *arguments: Any) -> Any:
    return from_thread.run(getattr(get_redis_client(), command), *arguments)


async def _get_from_several() -> Any:
    redis = get_redis_client()
    return [await redis.get("key"), await get_config("key")]


RIGHT: dict[str, Callable[[], Any]] = {
    "config": lambda: from_thread.run(get_config, "key"),
    "redis": lambda: _of_redis("get", "key").decode(),
    "function": lambda: from_thread.run(_get_from_several)[1],
    "dynamo": lambda: from_thread.run(
        partial(get_dynamo_client().get_item, TableName=TABLE, Key={"key": {"S": "key"}})
    )["Item"]["n"],
    "client": lambda: len(from_thread.run(kept["client"].enqueue, "echo", "hello")),
    "threadsafe": lambda: asyncio.run_coroutine_threadsafe(
        get_config("key"), kept["loop"]
    ).result(),
    "client of its own": lambda: asyncio.run(_client_of_its_own()),
}


@app.handler
def does_right(payload: str) -> Any:
    return RIGHT[payload]()


@app.handler
def waits(payload: float) -> Any:
    """Waits in the worker's loop, from its thread."""
    return from_thread.run(asyncio.sleep, payload)


@app.handler
async def closes_the_shared_client(payload: Any) -> None:
    """As people write who think that it is theirs."""
    async with get_redis_client() as redis:
        await redis.get("key")
    await get_redis_client().aclose()


@app.handler
async def blocks(payload: str) -> Any:
    return await get_redis_client().blpop(payload, 4)


@app.handler
async def echo(payload: Any) -> Any:
    return payload
