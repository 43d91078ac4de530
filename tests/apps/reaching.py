"""Handlers that reach the process's clients from wherever they are."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import anyio
from anyio import to_thread

from worker import App, get_config, get_dynamo_client, get_redis_client

app = App()


def clients() -> list[int]:
    return [id(get_redis_client()), id(get_dynamo_client())]


@app.handler
async def on_the_loop() -> Any:
    return clients()


@app.handler
def in_a_thread() -> Any:
    return clients()


@app.handler
def in_a_thread_of_its_own() -> Any:
    with ThreadPoolExecutor(1) as pool:
        return pool.submit(clients).result()


@app.handler
async def in_a_task() -> Any:
    async def inner() -> list[int]:
        return clients()

    return await asyncio.create_task(inner())


@app.handler
async def in_a_thread_of_anyio() -> Any:
    return await to_thread.run_sync(clients)


@app.handler
async def uses_both(payload: str) -> Any:
    """Keeps a connection to either server busy for a moment."""
    await get_redis_client().blpop(f"never:{payload}", 0.05)
    item = await get_dynamo_client().get_item(TableName="config", Key={"key": {"S": payload}})
    return item.get("Item")


@app.handler
async def looks_up(payload: int) -> int:
    """So many look-ups, one after the other."""
    return sum([(await get_config("k"))["n"] for _ in range(payload)])


@app.handler
async def nap() -> None:
    await anyio.sleep(0.001)
