"""`@app.middleware` and the parameter `state`, in process."""

import asyncio
from collections.abc import Awaitable, Callable
from copy import deepcopy
from typing import Any

import pytest

from tests.execution.pipeline import Harness, number, result_of
from worker import App, HandlerError, Job, Reject, Retry
from worker.jobs.outcome import Outcome
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once

CallNext = Callable[[], Awaitable[Any]]
TENANT = {
    "acme": {
        "version": 7,
        "limit": number(3),
        "hosts": ["a"],
        "policy": {"max_attempts": number(2)},
    }
}


def app_with(*middlewares: Callable[..., Any]) -> App:
    app = App()

    @app.handler
    async def echo(payload: Any) -> Any:
        if payload == "fail":
            raise ValueError("wrong")
        return payload

    @app.handler
    def in_thread(payload: Any) -> Any:
        return payload

    for middleware in middlewares:
        app.middleware(middleware)
    return app


def run(app: App, *job: Any, state: Any = None, **fields: Any) -> Outcome:
    async def main() -> Outcome | None:
        return await Harness(app, TENANT, state=state).run(*job, **fields)

    outcome = asyncio.run(main())
    assert outcome is not None
    return outcome


def test_they_run_in_the_order_of_registration_and_give_the_value_of_what_is_within() -> None:
    async def outer(call_next: CallNext) -> Any:
        return ["outer", await call_next()]

    async def inner(call_next: CallNext) -> Any:
        return ["inner", await call_next()]

    for handler in ("echo", "in_thread"):
        outcome = run(app_with(outer, inner), handler, 1)
        assert result_of(outcome)["result"] == ["outer", ["inner", 1]]


def test_parameters_are_passed_by_name() -> None:
    seen: list[Any] = []

    async def middleware(state: Any, config: dict[str, Any], job: Job, call_next: CallNext) -> Any:
        seen.append((state, deepcopy(config), job.id, job.handler, job.payload, job.config_version))
        config["limit"] = "its own copy"
        config["hosts"].append("b")
        return await call_next()

    app = app_with(middleware, middleware)
    run(app, "echo", 5, config="acme", state="the pool")
    item = {"version": 7, "limit": 3, "hosts": ["a"]}
    assert seen == 2 * [("the pool", item, "1", "echo", 5, 7)]


def test_the_version_is_that_of_the_result_and_none_without_an_item() -> None:
    seen: list[Any] = []

    async def middleware(job: Job, call_next: CallNext) -> Any:
        seen.append(job.config_version)
        return await call_next()

    with_item = run(app_with(middleware), "echo", config="acme")
    run(app_with(middleware), "echo")
    assert seen == [result_of(with_item)["config"]["version"], None]


@pytest.mark.parametrize(
    ("error", "op", "reason"),
    [
        (Retry(delay=7), "later", None),
        (Reject("not for this tenant"), "bury", "rejected"),
        (LookupError("broken"), "later", None),
    ],
)
def test_what_it_raises_decides_the_jobs_fate(
    error: Exception, op: str, reason: str | None
) -> None:
    ran: list[int] = []

    async def middleware(call_next: CallNext) -> Any:
        raise error

    app = app_with(middleware)
    app.handler("never")(lambda: ran.append(1))
    outcome = run(app, "never")
    assert (outcome.op, outcome.reason) == (op, reason)
    if isinstance(error, Retry):
        assert outcome.ms == 7000
    assert not ran


def test_it_sees_the_handlers_error_and_may_answer_for_it() -> None:
    async def middleware(call_next: CallNext) -> Any:
        try:
            return await call_next()
        except ValueError as error:
            return f"saw {error}"

    assert result_of(run(app_with(middleware), "echo", "fail"))["result"] == "saw wrong"


def test_it_may_leave_the_handler_out_or_call_it_twice() -> None:
    runs: list[int] = []

    async def middleware(job: Job, call_next: CallNext) -> Any:
        return [await call_next() for _ in range(job.payload)]

    app = app_with(middleware)

    @app.handler
    async def count(payload: int) -> int:
        runs.append(payload)
        return len(runs)

    assert result_of(run(app, "count", 0))["result"] == []
    assert result_of(run(app, "count", 2))["result"] == [1, 2]


def test_the_time_limit_holds_for_what_it_does_too() -> None:
    async def middleware(call_next: CallNext) -> Any:
        await asyncio.sleep(60)

    async def main() -> Outcome | None:
        harness = Harness(app_with(middleware), policy=Policy(timeout=0.05, max_attempts=1))
        return await harness.run("echo")

    assert result_of(asyncio.run(main()))["error"]["type"] == "Timeout"


def test_the_traceback_of_a_failure_shows_the_handler() -> None:
    async def middleware(call_next: CallNext) -> Any:
        return await call_next()

    outcome = run(app_with(middleware), "echo", "fail", attempts=4)
    assert 'raise ValueError("wrong")' in result_of(outcome)["error"]["traceback"]


def test_a_handler_gets_the_state_beside_its_other_parameters() -> None:
    app = App()

    @app.handler
    def handler(state: str, payload: int, job: Job, config: dict[str, Any]) -> Any:
        return [state, payload, job.config_version, config["limit"]]

    outcome = run(app, "handler", 4, config="acme", state="the pool")
    assert result_of(outcome)["result"] == ["the pool", 4, 7, 3]


async def no_call_next(job: Job) -> None: ...


def not_async(call_next: CallNext) -> None: ...


async def takes_payload(call_next: CallNext, payload: Any) -> None: ...


async def a_generator(call_next: CallNext) -> Any:
    yield


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (no_call_next, "middleware 'no_call_next' must take call_next"),
        (not_async, "middleware 'not_async' must be 'async def'"),
        (takes_payload, "takes 'payload: Any': its parameters are any of job, call_next, config"),
        (a_generator, "must not be a generator"),
        ("name", "@app.middleware takes a function, not 'name'"),
    ],
)
def test_a_bad_middleware_is_refused(function: Any, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        App().middleware(function)


def a_lifespan_that_is_a_generator(app: App) -> Any:
    yield


async def an_async_generator(app: App) -> Any:
    yield


def takes_nothing() -> Any: ...


@pytest.mark.parametrize(
    ("lifespan", "message"),
    [
        (a_lifespan_that_is_a_generator, "@contextlib.asynccontextmanager"),
        (an_async_generator, "@contextlib.asynccontextmanager"),
        (takes_nothing, "must take one argument, the app"),
        (asyncio.Lock(), "must be a function that takes the app"),
        ("pool", "must be a function that takes the app"),
    ],
)
def test_a_bad_lifespan_is_refused(lifespan: Any, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        App(lifespan=lifespan)


def test_a_class_may_be_a_lifespan() -> None:
    class Opened:
        def __init__(self, app: App) -> None: ...
        async def __aenter__(self) -> None: ...
        async def __aexit__(self, *error: object) -> None: ...

    App(lifespan=Opened)


@pytest.mark.parametrize("kind", ["handler", "middleware", "on_error"])
def test_who_takes_state_needs_a_lifespan(kind: str) -> None:
    app = App()

    async def function(state: Any, call_next: Any = None) -> None: ...

    async def handler(state: Any) -> None: ...

    getattr(app, kind)(function if kind == "middleware" else handler)
    with pytest.raises(HandlerError, match=rf"{kind} '\w+' takes 'state'"):
        app.check()
