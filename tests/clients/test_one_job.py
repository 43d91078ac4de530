"""`worker.testing.run`: what one job comes to, with no server."""

import asyncio
import time
from decimal import Decimal
from typing import Any

import anyio
import pytest
from pydantic import BaseModel

from worker import App, Job, JobFailed, Malformed, Reject, Retry
from worker.testing import Ran, run

pytestmark = [pytest.mark.anyio, pytest.mark.once]


@pytest.fixture(autouse=True)
def _no_server(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKER_REDIS_URL", "redis://127.0.0.1:1/0")
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", "http://127.0.0.1:1")
    monkeypatch.setenv("WORKER_MAX_ATTEMPTS", "not a number")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Image(BaseModel):
    url: str


class Size(BaseModel):
    width: int
    ratio: Decimal = Decimal(1)


app = App()


@app.handler
async def resize(payload: Image, config: Size) -> dict[str, Any]:
    return {"url": payload.url, "width": config.width, "ratio": config.ratio}


@app.handler("plain")
def in_a_thread(config: dict[str, Any], job: Job) -> list[Any]:
    return [config, job.attempt, job.id, job.payload]


@app.handler(max_attempts=3)
async def fail(payload: str) -> None:
    raise LookupError(payload)


@app.handler
async def signal(payload: float | None) -> None:
    if payload is None:
        raise Reject("why not")
    raise Retry("not yet", delay=payload)


@app.handler(timeout=0.05)
async def nap() -> None:
    await anyio.sleep(3600)


@app.handler
async def odd() -> Any:
    return object()


async def test_a_job_that_succeeds_has_its_result_as_json() -> None:
    config = {"width": 3, "ratio": 0.1, "policy": {"timeout": 5}}
    ran = await run(app, "resize", Image(url="a"), config=config)
    assert ran == Ran("succeeded", {"url": "a", "width": 3, "ratio": "0.1"})
    assert await run(app, resize, {"url": "a"}, config=config) == ran


async def test_a_plain_handler_gets_config_and_attempt() -> None:
    config = {"list": (1, 2.5), "set": {"a"}, "policy": {"max_attempts": 2}}
    ran = await run(app, in_a_thread, 7, config=config, attempt=2, id="mine")
    assert ran.result == [{"list": [1, 2.5], "set": ["a"]}, 2, "mine", 7]
    assert (await run(app, "plain")).result == [{}, 1, "1", None]


async def test_a_failed_attempt_is_tried_again_and_the_last_one_is_not() -> None:
    ran = await run(app, "fail", "on purpose")
    assert (ran.status, ran.result, ran.reason) == ("retry", None, None)
    assert ran.error is not None
    assert (ran.error.type, ran.error.message) == ("LookupError", "on purpose")
    assert ran.error.traceback is not None
    assert "in fail" in ran.error.traceback
    assert ran.retry_in is not None
    assert 0 < ran.retry_in <= 1
    last = await run(app, "fail", "on purpose", attempt=3)
    assert (last.status, last.reason, last.retry_in) == ("failed", "failed", None)
    assert last.error is not None
    assert last.error.message == "on purpose"
    config = {"policy": {"max_attempts": 1}}
    assert (await run(app, "fail", "on purpose", config=config)).status == "failed"


async def test_signals_decide_the_fate() -> None:
    ran = await run(app, "signal", 30)
    assert (ran.status, ran.retry_in) == ("retry", 30)
    assert ran.error is not None
    assert (ran.error.type, ran.error.message) == ("Retry", "not yet")
    ran = await run(app, "signal", None)
    assert (ran.status, ran.reason, ran.retry_in) == ("failed", "rejected", None)
    assert ran.error is not None
    assert ran.error.message == "why not"
    assert (await run(app, "signal", 30, attempt=5)).reason == "failed"


@pytest.mark.parametrize(
    ("handler", "payload", "config", "reason", "message"),
    [
        ("resize", {"uri": "a"}, {"width": 3}, "payload_invalid", "url: Field required"),
        ("resize", {"url": "a"}, {"width": "x"}, "config_invalid", "width"),
        ("resize", {"url": "a"}, None, "config_invalid", "width: Field required"),
        ("plain", 1, {"policy": {"timeout": 0}}, "config_invalid", "policy.timeout"),
        ("odd", None, None, "result_invalid", "the result has no JSON"),
        ("plain", "x" * 2**20, None, "malformed", "WORKER_MAX_JOB_BYTES"),
    ],
)
async def test_what_a_worker_buries_has_its_reason(
    handler: str, payload: Any, config: Any, reason: str, message: str
) -> None:
    ran = await run(app, handler, payload, config=config)
    assert (ran.status, ran.reason) == ("failed", reason)
    assert ran.error is not None
    assert message in ran.error.message
    with pytest.raises((JobFailed, Malformed), match=message) as raised:
        await run(app, handler, payload, config=config, raises=True)
    assert type(raised.value).__name__ == ran.error.type


async def test_a_handler_that_is_not_there_and_one_over_its_time_are_tried_again() -> None:
    for handler, kind in {"nope": "UnknownHandler", "nap": "Timeout"}.items():
        ran = await run(app, handler)
        assert ran.status == "retry"
        assert ran.error is not None
        assert ran.error.type == kind
        with pytest.raises(JobFailed, match=r"nope|0\.05 s") as raised:
            await run(app, handler, raises=True)
        assert f"Job '1' ({handler!r}) failed an attempt and was retried." in raised.value.__notes__


async def test_a_job_past_its_time_expires() -> None:
    past = round(time.time() * 1000) - 1
    assert await run(app, "fail", "x", expires_at=past) == Ran("expired")
    with pytest.raises(JobFailed, match="expired"):
        await run(app, "fail", "x", expires_at=past, raises=True)


async def test_raises_gives_what_the_handler_raised() -> None:
    for attempt in (1, 3):
        with pytest.raises(LookupError, match="on purpose"):
            await run(app, "fail", "on purpose", attempt=attempt, raises=True)
    with pytest.raises(Retry, match="not yet"):
        await run(app, "signal", 30, raises=True)
    with pytest.raises(Reject, match="why not"):
        await run(app, "signal", None, raises=True)
    ran = await run(app, "plain", 1, raises=True)
    assert ran.status == "succeeded"


async def test_an_attempt_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="1 or more, not 0"):
        await run(app, "plain", attempt=0)


async def test_a_cancelled_run_ends_its_handler() -> None:
    ended = asyncio.Event()
    other = App()

    @other.handler
    async def wait() -> None:
        try:
            await anyio.sleep(3600)
        finally:
            ended.set()

    with pytest.raises(TimeoutError), anyio.fail_after(0.05):
        await run(other, wait)
    assert ended.is_set()
