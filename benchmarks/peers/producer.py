"""What the producers of all queues have in common. Runs in their environments: standard library
only.
"""

import asyncio
import os
import random
import sys
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

PORT = os.environ.get("BENCH_REDIS_PORT", "6379")
URL = f"redis://127.0.0.1:{PORT}/0"
CONCURRENCY = 100

# Seconds between probes: longer than any worker needs to go idle again, and never in step with
# one that polls.
PAUSE = (0.02, 0.04)

Enqueue = Callable[[str, Any], Any]
EnqueueSoon = Callable[[str, Any], Awaitable[Any]]


def main(worker: Callable[[], None], produce: Callable[[list[str]], None]) -> None:
    """The command line of a queue's module."""
    if sys.argv[1] == "worker":
        worker()
    else:
        produce(sys.argv[1:])


def exec_worker(*module_and_arguments: str) -> None:
    """Become the queue's own command."""
    os.execv(sys.executable, [sys.executable, "-m", *module_and_arguments])  # noqa: S606


def produce(arguments: list[str], enqueue: Enqueue) -> None:
    """Fill or probe, with a client that blocks."""
    what, count = arguments[0], int(arguments[1])
    for number in range(count):
        if what == "fill":
            enqueue(arguments[2], {"number": number, "text": ""})
        else:
            time.sleep(random.uniform(*PAUSE))
            enqueue("pickup", time.monotonic_ns())


def produce_async(
    arguments: list[str], connect: Callable[[], AbstractAsyncContextManager[EnqueueSoon]]
) -> None:
    """Fill or probe, with an asyncio client."""
    import uvloop

    uvloop.run(_produce_async(arguments, connect))


async def _produce_async(
    arguments: list[str], connect: Callable[[], AbstractAsyncContextManager[EnqueueSoon]]
) -> None:
    what, count = arguments[0], int(arguments[1])
    async with connect() as enqueue:
        if what == "probe":
            for _ in range(count):
                await asyncio.sleep(random.uniform(*PAUSE))
                await enqueue("pickup", time.monotonic_ns())
            return
        for first in range(0, count, 100):
            numbers = range(first, min(first + 100, count))
            payloads = [{"number": number, "text": ""} for number in numbers]
            await asyncio.gather(*(enqueue(arguments[2], payload) for payload in payloads))
