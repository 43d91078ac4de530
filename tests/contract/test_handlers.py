"""Section 3 of the contract: how handlers are written, and what they may take, give and raise."""

import asyncio
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.apps import kinds
from tests.support.waiting import wait_until
from tests.support.worker_process import Shared, StartWorker
from worker import App, HandlerError, Reject, Retry, WorkerError

pytestmark = pytest.mark.once

APP = "tests.apps.kinds:app"
IN_PROCESS = True
SETTINGS = {"max_attempts": 1}


# -- as plain functions -------------------------------------------------------------------------


def test_a_handler_is_the_plain_function_that_it_was() -> None:
    assert asyncio.run(kinds.builtin([1, 2])) == 3
    assert kinds.in_thread("x") == ["x", True]
    assert asyncio.run(kinds.named(job=type("J", (), {"handler": "h", "attempt": 1}))) == ["h", 1]  # type: ignore[arg-type]
    with pytest.raises(Reject, match="why not"):
        asyncio.run(kinds.reject())


# -- at registration ----------------------------------------------------------------------------


def takes_a_request(payload: Any, request: Any) -> None:
    pass


def takes_anything(**arguments: Any) -> None:
    pass


def takes_positions(*payload: Any) -> None:
    pass


def takes_by_position(payload: Any, /) -> None:
    pass


def yields(payload: Any) -> Any:
    yield payload


async def yields_async(payload: Any) -> Any:
    yield payload


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (takes_a_request, "'takes_a_request' takes 'request: Any'"),
        (takes_anything, r"takes '\*\*arguments: Any'"),
        (takes_positions, r"takes '\*payload: Any'"),
        (takes_by_position, "takes 'payload: Any'"),
        (yields, "it is a generator"),
        (yields_async, "it is a generator"),
        (partial(takes_a_request, request=1), "no name of its own"),
    ],
)
def test_parameters_are_checked_at_registration(function: Any, message: Any) -> None:
    with pytest.raises(HandlerError, match=message) as caught:
        App().handler(function)
    assert isinstance(caught.value, (WorkerError, TypeError))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"timeout": 0}, "timeout must be a number above 0"),
        ({"timeout": "5"}, "timeout must be a number"),
        ({"timeout": float("inf")}, "timeout must be a number"),
        ({"max_attempts": 0}, "max_attempts must be a number from 1 up"),
        ({"max_attempts": 1.5}, "max_attempts must be whole"),
        ({"max_attempts": True}, "max_attempts must be a number"),
        ({"result_ttl": -1}, "result_ttl must be a number above 0"),
        ({"backoff": {"base": -1}}, "backoff base must be a number from 0 up"),
        ({"backoff": {"factor": 0.5}}, "backoff factor must be a number from 1 up"),
        ({"backoff": {"most": 1}}, "backoff has no 'most'"),
        ({"backoff": 3}, "backoff=3 is none of"),
        ({"timout": 3}, "timout=3 is none of"),
    ],
)
def test_options_are_checked_at_registration(options: Any, message: Any) -> None:
    with pytest.raises(HandlerError, match=message):
        App().handler("h", **options)(lambda: None)


def test_a_name_is_taken_once_and_is_text() -> None:
    app = App()
    app.handler("h")(lambda: None)
    with pytest.raises(HandlerError, match="'h' is registered twice"):
        app.handler("h")(lambda: None)
    with pytest.raises(HandlerError, match="must be a string, not 5"):
        app.handler(5)  # type: ignore[call-overload]
    with pytest.raises(HandlerError, match="must be a string, not ''"):
        app.handler("")
    with pytest.raises(HandlerError, match="must be a function"):
        app.handler("x")(5)  # type: ignore[type-var]


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ("def h(payload: 'Missing'): ...", "its annotations fail: name 'Missing' is not defined"),
        (
            "class C: ...\n\n@app.handler\ndef h(payload: C): ...",
            "can't validate the type of its payload",
        ),
        (
            "class C: ...\n\n@app.handler\ndef h(config: C): ...",
            "can't validate the type of its config",
        ),
    ],
)
def test_types_that_cannot_be_validated_end_the_start_with_one_message(
    start_worker: StartWorker, tmp_path: Path, lines: Any, message: Any
) -> None:
    text = lines if lines.startswith("class") else f"@app.handler\n{lines}"
    (tmp_path / "mine.py").write_text(f"from worker import App\n\napp = App()\n\n{text}\n")
    worker = start_worker(app="mine:app", ready=False)
    assert worker.wait() == 1
    assert message in worker.log
    assert "'h'" in worker.log
    assert "Traceback" not in worker.log


# -- what they take -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("handler", "payload", "result"),
    [
        ("model", {"url": "u"}, {"url": "u", "size": 3}),
        ("data", {"x": "4"}, {"x": 4, "y": 0.5}),
        ("typed_dict", {"title": "t", "year": 1999}, {"title": "t", "year": 1999}),
        ("builtin", [1, 2, 3], 6),
        ("constrained", 4, 4),
        ("constrained", None, None),
        ("named_later", {"name": "n"}, "n"),
        ("unannotated", {"a": 1}, ["dict", "dict", "Job"]),
        ("unannotated", 1.0, ["float", "dict", "Job"]),
        ("nothing", {"ignored": True}, None),
        ("in_thread", "x", ["x", False]),
        ("with_parentheses", None, 1),
        ("made_async", 1, 2),
        ("wrapped_async", 1, 2),
        ("an object", 1, 3),
        ("a method", 1, 4),
        ("a partial", 1, 2),
    ],
)
def test_payloads_are_validated_into_the_annotated_type(
    shared: Shared, handler: Any, payload: Any, result: Any
) -> None:
    assert shared.producer.run(handler, payload)["result"] == result


@pytest.mark.parametrize(
    ("handler", "payload", "attribute"),
    [
        ("model", {}, "url: Field required"),
        ("model", "text", "the whole: "),
        ("data", {"x": "four"}, "x: "),
        ("typed_dict", {"title": "t", "year": "soon"}, "year: "),
        ("builtin", [1, "two"], "1: "),
        ("constrained", 3, "greater than 3"),
    ],
)
def test_what_fails_the_type_is_named_by_attribute(
    shared: Shared, handler: Any, payload: Any, attribute: Any
) -> None:
    result = shared.producer.run(handler, payload)
    assert result["error"]["type"] == "PayloadInvalid"
    assert attribute in result["error"]["message"]
    assert shared.producer.dead_entry(result["id"])["reason"] == "payload_invalid"


def test_parameters_are_matched_by_name(shared: Shared) -> None:
    result = shared.producer.run("keyword_only", "given")
    assert result["result"] == [result["id"], "given"]
    assert shared.producer.run("a name of its own")["result"] == ["a name of its own", 1]


# -- what they give -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "expected"),
    [
        ("model", {"url": "u", "size": 3}),
        ("dataclass", {"x": 1, "y": 0.5}),
        ("date", "2026-11-01T00:00:00Z"),
        ("decimal", "1.50"),
        ("uuid", "00000000-0000-0000-0000-000000000001"),
        ("enum", "red"),
        ("path", "/srv"),
        ("bytes", "text"),
        ("set", [1]),
        ("tuple", [1, None]),
        ("nested", {"a": [{"url": "u", "size": 3}, {"2": {"x": 1, "y": 0.5}}]}),
        ("generator", [0, 1, 2]),
    ],
)
def test_results_are_anything_that_pydantic_can_serialise(
    shared: Shared, what: Any, expected: Any
) -> None:
    assert shared.producer.run("gives", what)["result"] == expected


# -- what they raise ----------------------------------------------------------------------------


def test_retry_asks_for_another_attempt_after_its_delay_within_max_attempts(shared: Shared) -> None:
    result = shared.producer.run("retry", {"delay": 0.01, "why": "not yet"})
    assert result["attempts"] == 2
    assert (result["error"]["type"], result["error"]["message"]) == ("Retry", "not yet")
    assert shared.producer.dead_entry(result["id"])["reason"] == "failed"


@pytest.mark.parametrize("delay", [3600, 1e306])
def test_a_delay_may_be_as_long_as_one_likes(shared: Shared, delay: Any) -> None:
    job_id = shared.producer.push("retry", {"delay": delay})
    wait_until(lambda: shared.r.zcard("{jobs}:scheduled"))
    ((raw, due),) = shared.r.zrange("{jobs}:scheduled", 0, -1, withscores=True)
    assert job_id in raw
    assert due > shared.r.time()[0] * 1000 + 3_500_000
    assert shared.producer.active() == []
    shared.r.delete("{jobs}:scheduled")


def test_without_a_delay_retry_leaves_it_to_the_backoff(shared: Shared) -> None:
    shared.producer.push("retry", {})
    wait_until(lambda: shared.r.zcard("{jobs}:scheduled"))
    ((_, due),) = shared.r.zrange("{jobs}:scheduled", 0, -1, withscores=True)
    assert due <= shared.r.time()[0] * 1000 + 1_001_000
    shared.r.delete("{jobs}:scheduled")


@pytest.mark.parametrize("delay", [-1, float("nan"), float("inf")])
def test_a_delay_that_is_none_is_refused_where_it_is_made(delay: Any) -> None:
    with pytest.raises(ValueError, match="delay must be"):
        Retry(delay=delay)


def test_any_other_exception_is_a_failed_attempt_with_its_traceback(shared: Shared) -> None:
    error = shared.producer.run("raise_in_thread")["error"]
    assert (error["type"], error["message"]) == ("KeyError", "'deep down'")
    assert "in raise_in_thread" in error["traceback"]
    assert "in _deeper" in error["traceback"]
    assert error["traceback"].rstrip().endswith("KeyError: 'deep down'")
    assert shared.producer.run("wrong_retry")["error"]["type"] == "ValueError"


def test_reject_buries_at_once(shared: Shared) -> None:
    result = shared.producer.run("reject")
    assert (result["attempts"], result["error"]["message"]) == (1, "why not")
    assert shared.producer.dead_entry(result["id"])["reason"] == "rejected"
