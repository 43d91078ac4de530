"""The way of a job from bytes to its outcome, step by step, in process."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel

from tests.execution.pipeline import Harness, number, result_of
from worker import App, Job, Reject, Retry
from worker.execution.claimed_job import ClaimedJob, JobState, StopReason
from worker.jobs.outcome import Outcome, later
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once

app = App()
may_end: list[bool] = []


class Size(BaseModel):
    width: int


@app.handler
async def echo(payload: Any, config: dict[str, Any]) -> Any:
    return [payload, config]


@app.handler
async def typed(payload: Size, config: Size) -> int:
    return payload.width * config.width


@app.handler
async def fails(payload: str) -> None:
    raise {"retry": Retry(delay=7), "reject": Reject("no"), "error": ValueError("wrong")}[payload]


@app.handler
async def raises(payload: str) -> None:
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "close": GeneratorExit()}[
        payload
    ]


@app.handler
def raises_in_thread(payload: str) -> None:
    raise {"exit": SystemExit(3), "interrupt": KeyboardInterrupt(), "close": GeneratorExit()}[
        payload
    ]


@app.handler
async def waits(job: Job) -> str:
    await asyncio.sleep(60)
    return job.id


@app.handler
async def swallows() -> None:
    while not may_end:
        with suppress(asyncio.CancelledError):
            await asyncio.sleep(0.05 if may_end else 60)


@app.handler
async def lets_a_cancellation_escape() -> None:
    task = asyncio.create_task(asyncio.sleep(60))
    await asyncio.sleep(0)
    task.cancel()
    await task


Step = tuple[str, Any, dict[str, Any], str, str | None]


@pytest.mark.parametrize(
    ("handler", "payload", "fields", "op", "reason"),
    [
        ("echo", 1, {}, "finish", None),
        ("echo", 1, {"expires_at": 1}, "finish", None),
        ("nobody", 1, {"attempts": 4}, "bury", "unknown_handler"),
        ("nobody", 1, {}, "later", None),
        ("echo", 1, {"config": "absent"}, "bury", "config_missing"),
        ("echo", 1, {"config": "bad policy"}, "bury", "config_invalid"),
        ("typed", {"width": 2}, {"config": "bad width"}, "bury", "config_invalid"),
        ("typed", {"width": "x"}, {"config": "small"}, "bury", "payload_invalid"),
        ("typed", {"width": 2}, {"config": "small"}, "finish", None),
        ("fails", "retry", {}, "later", None),
        ("fails", "reject", {}, "bury", "rejected"),
        ("fails", "error", {}, "later", None),
        ("fails", "error", {"attempts": 4}, "bury", "failed"),
        ("lets_a_cancellation_escape", None, {"attempts": 4}, "bury", "failed"),
    ],
)
def test_where_each_job_ends(
    handler: str, payload: Any, fields: dict[str, Any], op: str, reason: str | None
) -> None:
    async def main() -> Outcome | None:
        harness = Harness(
            app,
            {
                "small": {"width": number(3)},
                "bad width": {"width": "wide"},
                "bad policy": {"policy": {"timout": number(1)}},
            },
        )
        return await harness.run(handler, payload, **fields)

    outcome = asyncio.run(main())
    assert outcome is not None
    assert (outcome.op, outcome.reason) == (op, reason)


@pytest.mark.parametrize("payload", ["exit", "interrupt", "close"])
@pytest.mark.parametrize("handler", ["raises", "raises_in_thread"])
def test_whatever_a_handler_raises_is_that_jobs_failure(handler: str, payload: str) -> None:
    async def main() -> Outcome | None:
        return await Harness(app).run(handler, payload, attempts=4)

    outcome = asyncio.run(main())
    assert result_of(outcome)["error"]["type"] in (
        "SystemExit",
        "KeyboardInterrupt",
        "GeneratorExit",
    )


def test_a_job_whose_config_can_not_be_read_runs_later_with_no_attempt_spent() -> None:
    async def main() -> tuple[ClaimedJob, Outcome | None]:
        harness = Harness(app)
        harness.items.is_away = True
        claimed = harness.start("echo", 1, config="absent")
        return claimed, await harness.ended(claimed)

    claimed, outcome = asyncio.run(main())
    assert outcome is not None
    assert (outcome.op, outcome.extra) == ("later", claimed.raw)
    assert outcome.ms >= 500


def test_a_handler_over_its_limit_has_failed_an_attempt() -> None:
    async def main() -> Outcome | None:
        harness = Harness(app, policy=Policy(timeout=0.05, max_attempts=1))
        return await harness.run("waits")

    assert result_of(asyncio.run(main()))["error"]["type"] == "Timeout"


def test_the_states_of_a_job_and_its_stop() -> None:
    async def main() -> None:
        harness = Harness(app)
        waiting = harness.start("waits")
        assert waiting.state is JobState.WAITING
        harness.tasks.stop(waiting, StopReason.RETURNED)
        assert waiting.state is JobState.DECIDED  # type: ignore[comparison-overlap]
        assert waiting.outcome is not None  # type: ignore[unreachable]
        assert (waiting.outcome.op, waiting.outcome.extra) == ("front", waiting.raw)

        running = harness.start("waits")
        await asyncio.sleep(0)
        assert running.state is JobState.RUNNING
        assert harness.tasks.running == {running}
        harness.tasks.stop(running, StopReason.LOST)
        assert running.state is JobState.STOPPING
        assert await harness.ended(running) is None
        assert running.state is JobState.GONE
        assert harness.tasks.running == set()

    asyncio.run(main())


def test_a_handler_that_swallows_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("worker.execution.job_tasks.CLEANUP_SECONDS", 0.05)

    async def main() -> Outcome | None:
        harness = Harness(app, policy=Policy(timeout=0.05, max_attempts=1))
        claimed = harness.start("swallows")
        while claimed.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert harness.tasks.uncancellable == {claimed.task}
        assert harness.tasks.running == set()
        may_end.append(True)
        return claimed.outcome

    assert result_of(asyncio.run(main()))["error"]["type"] == "Timeout"
    assert "swallows cancellation" in caplog.text


def test_a_thread_that_ended_before_its_cancelled_task_woke_is_not_left_behind() -> None:
    """The loop is blocked past the time limit, while the thread ends."""
    threads = App()

    @threads.handler
    def short() -> None:
        time.sleep(0.02)

    async def main() -> None:
        harness = Harness(threads, policy=Policy(timeout=0.01, max_attempts=1))
        claimed = harness.start("short")
        while claimed.state is not JobState.RUNNING:  # noqa: ASYNC110
            await asyncio.sleep(0)
        await asyncio.sleep(0.005)
        time.sleep(0.2)  # noqa: ASYNC251 - the point
        await harness.ended(claimed)
        assert harness.threads.left_behind == set()

    for _ in range(5):
        asyncio.run(main())


def test_a_thread_over_its_limit_is_left_behind_until_it_ends() -> None:
    threads = App()

    @threads.handler
    def long() -> None:
        time.sleep(0.3)

    async def main() -> None:
        harness = Harness(threads, policy=Policy(timeout=0.05, max_attempts=1))
        claimed = harness.start("long")
        outcome = await harness.ended(claimed)
        assert result_of(outcome)["error"]["type"] == "Timeout"
        assert harness.threads.left_behind == {claimed}
        while harness.threads.left_behind:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_hooks_gate_and_wrap_a_job() -> None:
    seen: list[str] = []

    async def gate(claimed: ClaimedJob) -> Outcome | None:
        seen.append(f"gate {claimed.job.payload}")
        return later(claimed.raw, claimed.raw, 5) if claimed.job.payload == "not yet" else None

    def around(name: str) -> Callable[[ClaimedJob, Callable[[], Awaitable[Any]]], Awaitable[Any]]:
        async def hook(claimed: ClaimedJob, call_next: Callable[[], Awaitable[Any]]) -> Any:
            seen.append(f"{name} begins")
            try:
                return [name, await call_next()]
            finally:
                seen.append(f"{name} ends")

        return hook

    async def main() -> list[Outcome | None]:
        harness = Harness(app)
        harness.hooks.before_run.append(gate)
        harness.hooks.around_run += [around("outer"), around("inner")]
        return [await harness.run("echo", "now"), await harness.run("echo", "not yet")]

    ran, parked = asyncio.run(main())
    assert result_of(ran)["result"] == ["outer", ["inner", ["now", {}]]]
    assert parked is not None
    assert (parked.op, parked.ms) == ("later", 5000)
    assert seen == [
        "gate now",
        *("outer begins", "inner begins", "inner ends", "outer ends"),
        "gate not yet",
    ]
