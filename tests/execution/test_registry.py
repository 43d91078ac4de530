"""Registering handlers: `App.include`, and the options `concurrency`, `batch` and `linger`."""

from typing import Any

import pytest

from worker import App, HandlerError
from worker.execution.bound_handler import BoundHandler
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once


async def one() -> None: ...


async def two() -> None: ...


def test_an_app_takes_over_the_handlers_of_another() -> None:
    parts, app = App(), App()
    app.handler(one)
    parts.handler("second", timeout=3)(two)
    app.include(parts)
    assert set(app.handlers) == {"one", "second"}
    assert app.handlers["second"].options == {"timeout": 3}


def test_a_name_may_be_registered_in_one_of_the_apps_only() -> None:
    parts, app = App(), App()
    parts.handler(two)
    parts.handler(one)
    app.handler(one)
    with pytest.raises(HandlerError, match="handler 'one' is registered twice"):
        app.include(parts)
    assert set(app.handlers) == {"one"}


def test_an_included_app_takes_no_more_registrations() -> None:
    parts, app = App(), App()
    parts.handler(one)
    app.include(parts)

    async def middleware(call_next: Any) -> None: ...

    async def on_error() -> None: ...

    for register, function, name in (
        (parts.handler, two, "handler 'two'"),
        (parts.middleware, middleware, "middleware 'middleware'"),
        (parts.on_error, on_error, "on_error 'on_error'"),
    ):
        with pytest.raises(HandlerError, match=f"{name} comes too late"):
            register(function)


def test_what_belongs_to_the_app_that_runs_can_not_be_included() -> None:
    async def middleware(call_next: Any) -> None: ...

    async def on_error() -> None: ...

    with_middleware, with_on_error = App(), App()
    with_middleware.middleware(middleware)
    with_on_error.on_error(on_error)

    def lifespan(app: App) -> Any: ...

    for other in (with_middleware, with_on_error, App(lifespan=lifespan)):
        with pytest.raises(HandlerError, match="belong to the app that runs"):
            App().include(other)
    with pytest.raises(HandlerError, match="include takes an App, not 7"):
        App().include(7)  # type: ignore[arg-type]


def test_an_included_handler_may_ask_for_the_state_of_the_app_that_runs() -> None:
    parts = App()

    @parts.handler
    async def use(state: Any) -> None: ...

    def lifespan(app: App) -> Any: ...

    stateless, app = App(), App(lifespan=lifespan)
    app.include(parts)
    app.check()
    stateless.include(parts)
    with pytest.raises(HandlerError, match="handler 'use' takes 'state'"):
        stateless.check()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"concurrency": 0}, "concurrency must be an integer, 1 or more, not 0"),
        ({"concurrency": True}, "concurrency must be an integer, 1 or more, not True"),
        ({"concurrency": 2.5}, "concurrency must be"),
        ({"batch": 0}, "batch must be an integer, 1 or more, not 0"),
        ({"batch": "100"}, "batch must be"),
        ({"linger": 1}, "linger is for handlers with batch="),
        ({"batch": 2, "linger": -1}, "linger must be 0 to 3600 seconds, not -1"),
        ({"batch": 2, "linger": float("nan")}, "linger must be 0 to 3600 seconds, not nan"),
        ({"batch": 2, "linger": True}, "linger must be"),
        ({"batch": 2, "linger": "1"}, "linger must be"),
    ],
)
def test_options_out_of_range_are_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(HandlerError, match=f"handler 'one': {message}"):
        App().handler(**options)(one)


async def takes_payload(payload: Any) -> None: ...


async def takes_payloads(payloads: Any) -> None: ...


def test_a_batch_handler_takes_lists_and_another_does_not() -> None:
    with pytest.raises(HandlerError, match="any of payloads, configs, jobs and state"):
        App().handler(batch=2)(takes_payload)
    with pytest.raises(HandlerError, match="any of payload, config, job and state"):
        App().handler(takes_payloads)


async def payloads_no_list(payloads: dict[str, int]) -> None: ...


async def configs_no_list(configs: int) -> None: ...


async def returns_no_list() -> dict[str, int]:
    return {}


async def returns_either() -> list[int] | dict[str, int]:
    return []


@pytest.mark.parametrize(
    "function", [payloads_no_list, configs_no_list, returns_no_list, returns_either]
)
def test_the_annotations_of_a_batch_handler_are_lists(function: Any) -> None:
    app = App()
    app.handler(batch=2)(function)
    with pytest.raises(HandlerError, match=r"takes batches, and .* is no list of one type"):
        BoundHandler(app.handlers[function.__name__], Policy())
