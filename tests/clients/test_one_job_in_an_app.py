"""`worker.testing.run` with all that an app may have beside its handlers."""

import threading
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from worker import App, HandlerError, Job, Reject, Retry
from worker.errors import ResultInvalid
from worker.testing import run

pytestmark = [pytest.mark.anyio, pytest.mark.once]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Row(BaseModel):
    number: int


class Size(BaseModel):
    width: int = 1


entered: list[App] = []


@asynccontextmanager
async def lifespan(app: App) -> AsyncIterator[str]:
    entered.append(app)
    yield "a real pool"


async def test_state_reaches_handlers_and_middleware_without_the_lifespan() -> None:
    app, seen = App(lifespan=lifespan), []

    @app.middleware
    async def noted(call_next: Callable[[], Awaitable[Any]], state: str) -> Any:
        seen.append(state)
        return await call_next()

    @app.handler
    async def use(payload: int, state: str) -> str:
        return f"{payload} {state}"

    @app.handler
    def use_in_thread(state: str) -> list[Any]:
        return [state, threading.current_thread() is not threading.main_thread()]

    assert (await run(app, use, 1, state="a pool")).result == "1 a pool"
    assert (await run(app, "use_in_thread", state="a pool")).result == ["a pool", True]
    assert (await run(app, use, 1)).result == "1 None"
    assert seen == ["a pool", "a pool", None]
    assert not entered


async def test_middleware_wraps_the_call_and_decides_its_fate() -> None:
    app, calls = App(), []

    @app.middleware
    async def outer(call_next: Callable[[], Awaitable[Any]], job: Job, config: dict) -> Any:  # type: ignore[type-arg]
        calls.append((job.handler, job.attempt, config))
        if config.get("reject"):
            raise Reject("not here")
        if config.get("retry"):
            raise Retry("later", delay=9)
        return {"wrapped": await call_next()}

    @app.handler
    async def double(payload: int) -> int:
        return payload * 2

    ran = await run(app, double, 4, config={"reject": False}, attempt=2)
    assert (ran.status, ran.result) == ("succeeded", {"wrapped": 8})
    assert calls[0][:2] == ("double", 2)
    assert calls[0][2]["reject"] is False
    ran = await run(app, double, 4, config={"reject": True})
    assert (ran.status, ran.reason) == ("failed", "rejected")
    ran = await run(app, double, 4, config={"retry": True})
    assert (ran.status, ran.retry_in) == ("retry", 9)
    assert ran.error is not None
    assert ran.error.message == "later"
    with pytest.raises(Retry, match="later"):
        await run(app, double, 4, config={"retry": True}, raises=True)


async def test_on_error_has_been_called_when_the_run_ends() -> None:
    app, reports = App(), []

    @app.on_error
    async def slowly(error: Exception, job: Job, fate: str, state: str) -> None:
        await anyio.sleep(0.01)
        reports.append((type(error).__name__, job.id, fate, state))

    @app.handler(max_attempts=2)
    async def fail(payload: int) -> None:
        raise LookupError

    await run(app, fail, 1, state="s")
    await run(app, fail, 1, attempt=2, state="s", id="a")
    await run(app, fail, "x", state="s")
    assert reports == [
        ("LookupError", "1", "retried", "s"),
        ("LookupError", "a", "buried", "s"),
        ("PayloadInvalid", "1", "buried", "s"),
    ]


@pytest.mark.parametrize("in_thread", [False, True])
async def test_a_batch_handler_gets_a_batch_of_one_at_once(in_thread: bool) -> None:
    app = App()

    def rows(payloads: list[Row], configs: list[Size], jobs: list[Job], state: str) -> list[Any]:
        assert len(payloads) == len(configs) == len(jobs) == 1
        number = payloads[0].number
        if number == 0:
            return []
        if number < 0:
            raise ConnectionError("away")
        answers = {1: Reject("odd"), 2: Retry("full", delay=3), 3: LookupError("gone")}
        return [answers.get(number, [number, configs[0].width, jobs[0].attempt, state])]

    async def rows_async(
        payloads: list[Row], configs: list[Size], jobs: list[Job], state: str
    ) -> list[Any]:
        return rows(payloads, configs, jobs, state)

    app.handler("rows", batch=100, linger=3600, concurrency=1)(rows if in_thread else rows_async)

    async def of(number: Any, **options: Any) -> Any:
        with anyio.fail_after(10):
            return await run(app, "rows", {"number": number}, state="s", **options)

    assert (await of(7, config={"width": 5})).result == [7, 5, 1, "s"]
    assert (await of(1)).reason == "rejected"
    assert (await of(2)).retry_in == 3
    assert (await of(3)).error.type == "LookupError"
    assert (await of(0)).reason == "result_invalid"
    assert (await of(-1)).status == "retry"
    assert (await of("x")).reason == "payload_invalid"
    with pytest.raises(ConnectionError, match="away"):
        await of(-1, raises=True)


async def test_a_batch_handler_is_found_by_its_function() -> None:
    app = App()

    @app.handler(batch=2)
    async def insert(payloads: list[Row]) -> None: ...

    ran = await run(app, insert, Row(number=1))
    assert (ran.status, ran.result) == ("succeeded", None)


async def test_handlers_of_an_included_app_and_their_limits() -> None:
    app, mail = App(), App()

    @mail.handler("mail.welcome", concurrency=1)
    async def welcome(payload: str) -> str:
        return f"Welcome, {payload}"

    app.include(mail)
    for runs in (app, mail):
        for handler in ("mail.welcome", welcome):
            assert (await run(runs, handler, "Ada")).result == "Welcome, Ada"
    with pytest.raises(HandlerError, match="no handler"):
        await run(App(), welcome, "Ada")


async def test_several_runs_at_a_time() -> None:
    app = App()

    @app.handler(concurrency=1)
    async def nap(payload: float) -> float:
        await anyio.sleep(payload)
        return payload

    results: list[Any] = []

    async def one(seconds: float) -> None:
        results.append((await run(app, nap, seconds)).result)

    async with anyio.create_task_group() as group:
        for seconds in (0.05, 0.01):
            group.start_soon(one, seconds)
    assert sorted(results) == [0.01, 0.05]


async def test_a_declared_result_is_checked_and_written_by_its_type() -> None:
    app = App()

    @app.handler
    async def row(payload: Any) -> Row:
        return payload

    assert (await run(app, row, {"number": 1})).result == {"number": 1}
    ran = await run(app, row, {"number": "x"})
    assert (ran.status, ran.reason) == ("failed", "result_invalid")
    with pytest.raises(ResultInvalid, match="declared type"):
        await run(app, row, {"number": "x"}, raises=True)


async def test_a_handler_that_would_end_the_process_fails_its_job() -> None:
    app = App()

    @app.handler(max_attempts=1)
    async def leave() -> None:
        raise SystemExit(3)

    ran = await run(app, leave)
    assert (ran.status, ran.reason) == ("failed", "failed")
    assert ran.error is not None
    assert ran.error.type == "SystemExit"
