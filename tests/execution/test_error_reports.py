"""`@app.on_error`, in process: called for every way to fail, and in nobody's way."""

import asyncio
import contextvars
import logging
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from pydantic import BaseModel

from tests.execution.pipeline import KEYS, Harness, number
from worker import App, HandlerError, Job, JobFailed, Reject, Retry
from worker.execution import error_reports
from worker.execution.claimed_job import ClaimedJob
from worker.jobs.outcome import Outcome
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once

request_id: contextvars.ContextVar[str] = contextvars.ContextVar("request_id", default="none")


class Size(BaseModel):
    width: int


def app_that_fails() -> App:
    app = App()

    @app.handler
    async def fails(payload: str) -> None:
        request_id.set(f"of {payload}")
        raise {
            "retry": Retry("again", delay=7),
            "reject": Reject("no"),
            "error": ValueError("wrong"),
            "exit": SystemExit(3),
        }[payload]

    @app.handler
    async def typed(payload: Size, config: Size) -> Any:
        return {1: object(), 2: "x" * 2_000_000}.get(payload.width, 1)

    @app.handler
    async def hangs() -> None:
        await asyncio.sleep(60)

    @app.handler
    async def fine() -> None: ...

    return app


Seen = tuple[BaseException, Job, str]


def noting(app: App) -> list[Seen]:
    seen: list[Seen] = []

    @app.on_error
    async def note(error: BaseException, job: Job, fate: str) -> None:
        seen.append((error, job, fate))

    return seen


@pytest.mark.parametrize(
    ("handler", "payload", "fields", "kind", "message", "fate"),
    [
        ("fails", "error", {}, "ValueError", "wrong", "retried"),
        ("fails", "error", {"attempts": 4}, "ValueError", "wrong", "buried"),
        ("fails", "exit", {}, "SystemExit", "3", "retried"),
        ("fails", "reject", {}, "Reject", "no", "buried"),
        ("fails", "retry", {"attempts": 4}, "Retry", "again", "buried"),
        ("typed", {"width": "x"}, {"config": "ok"}, "PayloadInvalid", "width: Input", "buried"),
        ("typed", {"width": 3}, {"config": "bad"}, "ConfigInvalid", "'bad': width:", "buried"),
        ("typed", {"width": 3}, {"config": "absent"}, "ConfigMissing", "'absent'", "buried"),
        ("typed", {"width": 1}, {"config": "ok"}, "ResultInvalid", "no JSON", "buried"),
        ("typed", {"width": 2}, {"config": "ok"}, "ResultTooLarge", "MAX_RESULT", "buried"),
        ("hangs", None, {}, "Timeout", "time limit of 0.2 s", "retried"),
        ("nobody", None, {}, "UnknownHandler", "no handler 'nobody'", "retried"),
        ("nobody", None, {"attempts": 4}, "UnknownHandler", "'nobody'", "buried"),
    ],
)
def test_it_is_called_for_every_way_to_fail(
    handler: str, payload: Any, fields: dict[str, Any], kind: str, message: str, fate: str
) -> None:
    app = app_that_fails()
    seen = noting(app)
    items: dict[str, dict[str, Any]] = {"ok": {"width": number(1)}, "bad": {"width": "wide"}}

    async def main() -> None:
        harness = Harness(app, items, policy=Policy(timeout=0.2))
        await harness.run(handler, payload, **fields)
        assert await harness.reports.ended()

    asyncio.run(main())
    ((error, job, told),) = seen
    assert type(error).__name__ == kind
    assert message in str(error)
    assert told == fate
    assert (job.id, job.handler, job.payload) == ("1", handler, payload)
    if handler in ("typed", "hangs", "nobody"):
        assert isinstance(error, JobFailed)
    else:
        assert error.__traceback__ is not None


@pytest.mark.parametrize(("handler", "payload"), [("fine", None), ("fails", "retry")])
def test_it_is_not_called_for_success_or_a_retry(handler: str, payload: Any) -> None:
    app = app_that_fails()
    seen = noting(app)

    async def main() -> None:
        harness = Harness(app)
        await harness.run(handler, payload)
        assert await harness.reports.ended()

    asyncio.run(main())
    assert not seen


def test_a_time_limit_shows_where_the_handler_was() -> None:
    app = app_that_fails()
    seen = noting(app)

    async def main() -> None:
        harness = Harness(app, policy=Policy(timeout=0.05))
        await harness.run("hangs")
        await harness.reports.ended()

    asyncio.run(main())
    cause = seen[0][0].__cause__
    assert isinstance(cause, asyncio.CancelledError)
    assert cause.__traceback__ is not None


def test_a_job_that_is_buried_after_a_crash_is_reported() -> None:
    app = app_that_fails()
    seen = noting(app)

    async def main() -> None:
        harness = Harness(app)
        raw = b'{"id": "1", "handler": "fine", "crashes": 2}'
        assert harness.outcomes.after_crash(raw, KEYS).op == "last"
        await asyncio.sleep(0)
        assert not seen  # Redis decides whether it is buried
        harness.outcomes.buried_after_crash(raw, KEYS)
        await harness.reports.ended()

    asyncio.run(main())
    ((error, job, fate),) = seen
    assert type(error).__name__ == "Crashed"
    assert "3 times" in str(error)
    assert (job.id, fate) == ("1", "buried")


def test_the_outcome_of_a_job_does_not_wait_for_it() -> None:
    app = app_that_fails()
    may_end = threading.Event()

    @app.on_error
    def waits() -> None:
        may_end.wait(10)

    async def main() -> Outcome | None:
        harness = Harness(app)
        outcome = await harness.run("fails", "error")
        assert not may_end.is_set()
        may_end.set()
        assert await harness.reports.ended()
        return outcome

    outcome = asyncio.run(main())
    assert outcome is not None
    assert outcome.op == "later"


@pytest.mark.parametrize("is_async", [True, False])
def test_it_gets_the_state_and_sees_the_jobs_context(is_async: bool) -> None:
    app = app_that_fails()
    seen: list[Any] = []

    def plain(state: Any, fate: str) -> None:
        seen.append((state, fate, request_id.get()))

    async def coroutine(state: Any, fate: str) -> None:
        plain(state, fate)

    app.on_error(coroutine if is_async else plain)

    async def main() -> None:
        harness = Harness(app, state="the pool")
        await harness.run("fails", "error")
        await harness.reports.ended()

    asyncio.run(main())
    assert seen == [("the pool", "retried", "of error")]


def test_one_that_had_to_wait_sees_the_context_of_its_own_job(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(error_reports, "_AT_A_TIME", 1)
    app = app_that_fails()
    seen: list[str] = []

    @app.on_error
    async def note() -> None:
        seen.append(request_id.get())
        await asyncio.sleep(0.01)

    async def main() -> None:
        harness = Harness(app)
        jobs = [harness.start("fails", payload) for payload in ("error", "reject", "exit")]
        for job in jobs:
            await harness.ended(job)
        await harness.reports.ended()

    asyncio.run(main())
    assert seen == ["of error", "of reject", "of exit"]


@pytest.mark.parametrize("error", [ValueError("secret"), SystemExit(3), KeyboardInterrupt()])
def test_its_own_errors_are_logged_once_without_their_message_and_change_nothing(
    error: BaseException, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_that_fails()
    calls: list[int] = []

    @app.on_error
    async def broken(job: Job) -> None:
        calls.append(1)
        raise error

    async def main() -> Outcome | None:
        harness = Harness(app)
        for _ in range(10):
            outcome = await harness.run("fails", "error")
        await harness.reports.ended()
        return outcome

    with caplog.at_level(logging.ERROR):
        outcome = asyncio.run(main())
    assert outcome is not None
    assert outcome.op == "later"
    assert len(calls) == 10
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith("Job '1': on_error 'broken' failed: ")
    assert type(error).__name__ in line
    assert "test_error_reports.py" in line
    assert "secret" not in line


def ending(app: App, jobs: int, monkeypatch: pytest.MonkeyPatch) -> tuple[bool, float]:
    """Fail so many jobs, and return what the end of the reports says, and how long it took."""
    monkeypatch.setattr(error_reports, "TIME_LIMIT", 0.2)

    async def main() -> tuple[bool, float]:
        harness = Harness(app)
        for _ in range(jobs):
            await harness.run("fails", "error")
        began = time.monotonic()
        return await harness.reports.ended(), time.monotonic() - began

    return asyncio.run(main())


def test_one_that_hangs_is_cancelled(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    app = app_that_fails()

    @app.on_error
    async def hangs() -> None:
        await asyncio.sleep(60)

    is_clean, took = ending(app, 1, monkeypatch)
    assert is_clean
    assert took < 5
    assert "on_error 'hangs' was cancelled after 0.2 s" in caplog.text


def test_a_thread_that_hangs_is_left_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    app = app_that_fails()
    may_end = threading.Event()

    @app.on_error
    def hangs() -> None:
        may_end.wait(20)

    try:
        is_clean, took = ending(app, 1, monkeypatch)
        assert not is_clean
        assert took < 5
    finally:
        may_end.set()


def test_what_waits_for_a_slow_one_is_bounded(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(error_reports, "_AT_A_TIME", 2)
    monkeypatch.setattr(error_reports, "_MOST_WAITING", 3)
    app = app_that_fails()
    calls: list[int] = []

    @app.on_error
    async def slow() -> None:
        calls.append(1)
        await asyncio.sleep(60)

    ending(app, 10, monkeypatch)
    assert "on_error 'slow' was not called, since 3 calls wait" in caplog.text
    assert len(calls) == 4  # two at once, two more once these were cancelled, and then the end


def takes_payload(payload: Any) -> None: ...


def takes_any(*errors: Any) -> None: ...


@pytest.mark.parametrize(
    ("function", "message"),
    [
        (takes_payload, "its parameters are any of error, job, fate and state"),
        (takes_any, "its parameters are any of"),
        (7, "@app.on_error takes a function, not 7"),
    ],
)
def test_a_bad_one_is_refused(function: Any, message: str) -> None:
    with pytest.raises(HandlerError, match=message):
        App().on_error(function)


def test_a_job_that_the_worker_has_gone_on_without_is_reported_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.execution.job_tasks.CLEANUP_SECONDS", 0.05)
    app = app_that_fails()
    seen = noting(app)

    @app.handler
    async def slow_to_stop() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            await asyncio.sleep(0.3)

    async def main() -> None:
        harness = Harness(app, policy=Policy(timeout=0.05))
        claimed: ClaimedJob = harness.start("slow_to_stop")
        await harness.ended(claimed)
        await harness.reports.ended()

    asyncio.run(main())
    assert [type(error).__name__ for error, _, _ in seen] == ["Timeout"]


Middleware = Callable[[Callable[[], Awaitable[Any]]], Awaitable[Any]]


def test_an_error_of_middleware_is_reported() -> None:
    app = app_that_fails()
    seen = noting(app)

    @app.middleware
    async def broken(call_next: Callable[[], Awaitable[Any]]) -> None:
        raise LookupError("broken")

    async def main() -> None:
        harness = Harness(app)
        await harness.run("fine")
        await harness.reports.ended()

    asyncio.run(main())
    assert [str(error) for error, _, _ in seen] == ["broken"]
