"""What a failed handler held is freed at once, and not only when the collector runs."""

import asyncio
import gc
import weakref
from collections.abc import Iterator

import pytest

from tests.execution.pipeline import Harness
from worker import App
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once

app = App()
held: list["weakref.ref[Large]"] = []


class Large:
    """Stands for megabytes of locals."""


@app.handler
def in_thread() -> None:
    large = Large()
    held.append(weakref.ref(large))
    raise ValueError("with large locals")


@app.handler
async def in_loop() -> None:
    large = Large()
    held.append(weakref.ref(large))
    await asyncio.sleep(0)
    raise ValueError("with large locals")


@app.handler
async def chained() -> None:
    large = Large()
    held.append(weakref.ref(large))
    try:
        raise KeyError("inner")  # noqa: TRY301
    except KeyError as error:
        raise ValueError("outer") from error


@app.handler
def returns_large() -> str:
    large = Large()
    held.append(weakref.ref(large))
    return "done"


@pytest.fixture(autouse=True)
def no_collector() -> Iterator[None]:
    held.clear()
    gc.disable()
    yield
    gc.enable()


@pytest.mark.parametrize("handler", ["in_thread", "in_loop", "chained", "returns_large"])
def test_what_a_handler_held_is_freed_with_its_job(handler: str) -> None:
    async def main() -> None:
        harness = Harness(app, policy=Policy(max_attempts=1))
        await harness.run(handler)
        await asyncio.sleep(0.05)
        assert [ref() for ref in held] == [None]

    asyncio.run(main())
