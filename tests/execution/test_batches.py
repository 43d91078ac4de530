"""`@app.handler(batch=..., linger=...)`: one call for many jobs, in process."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from pydantic import BaseModel

from tests.execution.pipeline import Harness, number, result_of
from worker import App, Job, Reject, Retry
from worker.execution.claimed_job import ClaimedJob, JobState, StopReason
from worker.jobs.outcome import Outcome
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once


class Row(BaseModel):
    n: int


class Tenant(BaseModel):
    name: str = "nobody"


def start(harness: Harness, payloads: list[Any], handler: str = "many", **fields: Any) -> Any:
    return [
        harness.start(handler, payload, id=str(at), **fields) for at, payload in enumerate(payloads)
    ]


async def ended(harness: Harness, jobs: list[ClaimedJob]) -> list[Outcome | None]:
    return [await harness.ended(job) for job in jobs]


def run(
    app: App,
    payloads: list[Any],
    *,
    policy: Policy | None = None,
    state: Any = None,
    items: Any = None,
    **fields: Any,
) -> list[Outcome]:
    async def main() -> list[Outcome | None]:
        harness = Harness(app, items, policy=policy, state=state)
        outcomes = await ended(harness, start(harness, payloads, **fields))
        await harness.reports.ended()
        return outcomes

    outcomes = asyncio.run(main())
    assert all(outcome is not None for outcome in outcomes)
    return [outcome for outcome in outcomes if outcome is not None]


def results(outcomes: list[Outcome]) -> list[Any]:
    return [result_of(outcome)["result"] for outcome in outcomes]


def doubling(**options: Any) -> tuple[App, list[list[int]]]:
    """An app that doubles numbers, and the payloads of its calls."""
    app, calls = App(), []

    @app.handler(**{"batch": 3, "linger": 0.05, **options})
    async def many(payloads: list[Row]) -> list[int]:
        calls.append([row.n for row in payloads])
        return [2 * row.n for row in payloads]

    return app, calls


def rows(*numbers: int) -> list[Any]:
    return [{"n": n} for n in numbers]


@pytest.mark.parametrize("linger", [0, 0.05])
def test_one_call_takes_up_to_so_many_jobs_in_their_order(linger: float) -> None:
    app, calls = doubling(linger=linger)
    assert results(run(app, rows(1, 2, 3, 4, 5))) == [2, 4, 6, 8, 10]
    assert calls == [[1, 2, 3], [4, 5]]


def test_a_full_batch_does_not_linger() -> None:
    app, calls = doubling(linger=60)
    assert results(run(app, rows(1, 2, 3))) == [2, 4, 6]
    assert calls == [[1, 2, 3]]


def test_a_job_lingers_so_long_and_no_longer() -> None:
    app, calls = doubling(linger=0.2)

    async def main() -> None:
        harness = Harness(app)
        began = time.monotonic()
        (first,) = start(harness, rows(1))
        await asyncio.sleep(0.1)
        assert first.state is JobState.WAITING
        (second,) = start(harness, rows(2))
        await ended(harness, [first, second])
        assert 0.2 <= time.monotonic() - began < 0.29

    asyncio.run(main())
    assert calls == [[1, 2]]


@pytest.mark.parametrize("is_async", [True, False])
def test_each_parameter_is_a_list_of_one_length_and_state_is_one(is_async: bool) -> None:
    app = App()

    def plain(
        payloads: list[Row], configs: list[Tenant], jobs: list[Job], state: str
    ) -> list[tuple[int, str, str, str]]:
        return [
            (row.n, tenant.name, job.id, state)
            for row, tenant, job in zip(payloads, configs, jobs, strict=True)
        ]

    async def coroutine(
        payloads: list[Row], configs: list[Tenant], jobs: list[Job], state: str
    ) -> Any:
        return plain(payloads, configs, jobs, state)

    app.handler("many", batch=5)(coroutine if is_async else plain)
    outcomes = run(
        app, rows(1, 2), items={"acme": {"name": "Acme"}}, config="acme", state="the pool"
    )
    assert results(outcomes) == [[1, "Acme", "0", "the pool"], [2, "Acme", "1", "the pool"]]
    assert result_of(outcomes[0])["config"]["key"] == "acme"


def test_an_exception_in_the_list_is_that_jobs_fate() -> None:
    app = App()
    seen: list[tuple[str, str, str]] = []

    @app.handler(batch=9)
    async def many(jobs: list[Job]) -> list[int | Exception]:
        items: list[int | Exception] = [7, Retry(delay=3), Reject("not this one")]
        return [*items, ValueError("wrong"), 8][: len(jobs)]

    @app.on_error
    async def note(error: Exception, job: Job, fate: str) -> None:
        seen.append((type(error).__name__, job.id, fate))

    outcomes = run(app, [None] * 5)
    assert [(outcome.op, outcome.reason) for outcome in outcomes] == [
        ("finish", None),
        ("later", None),
        ("bury", "rejected"),
        ("later", None),
        ("finish", None),
    ]
    assert outcomes[1].ms == 3000
    assert seen == [("Reject", "2", "buried"), ("ValueError", "3", "retried")]


def test_none_is_a_none_for_each() -> None:
    app = App()

    @app.handler(batch=9)
    async def many(payloads: list[int]) -> None: ...

    outcomes = run(app, [1, 2, 3])
    assert [result_of(outcome)["status"] for outcome in outcomes] == ["succeeded"] * 3
    assert results(outcomes) == [None] * 3


def test_a_raise_fails_the_attempt_of_each() -> None:
    app = App()

    @app.handler(batch=9)
    async def many(payloads: list[int]) -> None:
        raise LookupError("no database")

    @app.handler(batch=9)
    async def rejecting() -> None:
        raise Reject("none of you")

    outcomes = run(app, [1, 2, 3], policy=Policy(max_attempts=1))
    assert [outcome.reason for outcome in outcomes] == ["failed"] * 3
    errors = [result_of(outcome)["error"] for outcome in outcomes]
    assert {error["message"] for error in errors} == {"no database"}
    # All have the same traceback: it does not grow with each job.
    assert len({error["traceback"] for error in errors}) == 1
    assert errors[0]["traceback"].count('raise LookupError("no database")') == 1
    rejected = run(app, [1, 2], handler="rejecting")
    assert [outcome.reason for outcome in rejected] == ["rejected"] * 2


@pytest.mark.parametrize(
    ("returned", "message"),
    [
        ([1, 2], "returned 2 items for 3 jobs"),
        ([1, 2, 3, 4], "returned 4 items for 3 jobs"),
        ({"a": 1}, "returned a dict for 3 jobs: return a list of 3, or None"),
        ("abc", "returned a str for 3 jobs"),
    ],
)
def test_a_wrong_length_buries_each(returned: Any, message: str) -> None:
    app = App()

    @app.handler(batch=9)
    async def many() -> Any:
        return returned

    outcomes = run(app, [1, 2, 3])
    assert [(outcome.op, outcome.reason) for outcome in outcomes] == [
        ("bury", "result_invalid")
    ] * 3
    assert message in result_of(outcomes[0])["error"]["message"]


def test_each_item_is_of_the_declared_type() -> None:
    app = App()

    @app.handler(batch=9)
    async def many() -> list[Row | Exception]:
        return [Row(n=1), {"n": "2"}, {"n": "x"}]  # type: ignore[list-item]

    outcomes = run(app, [1, 2, 3])
    assert results(outcomes[:2]) == [{"n": 1}, {"n": 2}]
    assert outcomes[2].reason == "result_invalid"


def test_a_job_that_can_not_run_drops_out_of_its_batch() -> None:
    app, calls = doubling()

    @app.handler(batch=9)
    async def configured(payloads: list[Row], configs: list[Tenant]) -> list[str]:
        calls.append([row.n for row in payloads])
        return [tenant.name for tenant in configs]

    outcomes = run(app, [{"n": 1}, {"n": "x"}, {"n": 3}])
    assert [outcome.reason for outcome in outcomes] == [None, "payload_invalid", None]
    assert calls == [[1, 3]]

    async def main() -> None:
        harness = Harness(app, {"bad": {"name": number(7)}})
        bad = harness.start("configured", {"n": 1}, config="bad")
        missing = harness.start("configured", {"n": 2}, config="absent")
        good = harness.start("configured", {"n": 3})
        outcomes = await ended(harness, [bad, missing, good])
        assert [outcome and outcome.reason for outcome in outcomes] == [
            "config_invalid",
            "config_missing",
            None,
        ]

    asyncio.run(main())
    assert calls[1:] == [[3]]


class Holding:
    """A batch handler that waits until it is let go, and notes how it ends."""

    def __init__(self, **options: Any) -> None:
        self.app = App()
        self.go = asyncio.Event()
        self.calls: list[list[Any]] = []
        self.ends: list[str] = []

        @self.app.handler(**{"batch": 3, "linger": 0, **options})
        async def many(payloads: list[Any]) -> list[Any]:
            self.calls.append(payloads)
            try:
                await self.go.wait()
            except asyncio.CancelledError:
                self.ends.append("cancelled")
                raise
            self.ends.append("done")
            return payloads

    async def called(self, times: int = 1) -> None:
        while len(self.calls) < times:  # noqa: ASYNC110
            await asyncio.sleep(0.001)


def test_the_time_limit_is_that_of_one_job_and_cancels_the_call() -> None:
    async def main() -> None:
        holding = Holding()
        harness = Harness(holding.app, policy=Policy(timeout=0.1, max_attempts=1))
        outcomes = await ended(harness, start(harness, [1, 2, 3]))
        assert [result_of(outcome)["error"]["type"] for outcome in outcomes] == ["Timeout"] * 3
        assert holding.ends == ["cancelled"]
        assert harness.tasks.running == set()

    asyncio.run(main())


def test_a_limit_of_one_job_alone_ends_that_job_and_the_call_goes_on() -> None:
    async def main() -> None:
        holding = Holding()
        items = {"short": {"policy": {"timeout": number(1) / 10, "max_attempts": number(1)}}}
        harness = Harness(holding.app, items)
        first = harness.start("many", 1)
        second = harness.start("many", 2, config="short")
        assert result_of(await harness.ended(second))["error"]["type"] == "Timeout"
        assert holding.ends == []
        holding.go.set()
        assert result_of(await harness.ended(first))["result"] == 1

    asyncio.run(main())


def test_a_job_that_is_lost_leaves_the_call_to_the_others() -> None:
    async def main() -> None:
        holding = Holding()
        harness = Harness(holding.app)
        first, second = start(harness, [1, 2])
        await holding.called()
        harness.tasks.stop(second, StopReason.LOST)
        assert await harness.ended(second) is None
        holding.go.set()
        assert result_of(await harness.ended(first))["result"] == 1
        assert holding.ends == ["done"]

    asyncio.run(main())


def test_the_call_is_cancelled_once_all_its_jobs_are_stopped() -> None:
    async def main() -> None:
        holding = Holding()
        harness = Harness(holding.app)
        jobs = start(harness, [1, 2])
        await holding.called()
        for job in jobs:
            harness.tasks.stop(job, StopReason.RETURNED)
            await asyncio.sleep(0.01)
        assert await ended(harness, jobs) == [None, None]
        assert holding.ends == ["cancelled"]

    asyncio.run(main())


def test_jobs_that_linger_can_be_given_back() -> None:
    async def main() -> None:
        holding = Holding(linger=60)
        harness = Harness(holding.app)
        jobs = start(harness, [1, 2])
        await asyncio.sleep(0.01)
        for job in jobs:
            harness.tasks.stop(job, StopReason.RETURNED)
        assert [job.outcome and job.outcome.op for job in jobs] == ["front", "front"]
        more = start(harness, [3, 4, 5])
        await holding.called()
        assert holding.calls == [[3, 4, 5]]
        holding.go.set()
        await ended(harness, more)

    asyncio.run(main())


def test_a_limit_is_one_of_calls_and_jobs_gather_meanwhile() -> None:
    async def main() -> None:
        holding = Holding(concurrency=1)
        harness = Harness(holding.app)
        first = start(harness, [1])
        await holding.called()
        rest = start(harness, [2, 3, 4, 5])
        await asyncio.sleep(0.05)
        assert holding.calls == [[1]]
        assert all(job.state is JobState.WAITING for job in rest)
        holding.go.set()
        await ended(harness, [*first, *rest])
        assert holding.calls == [[1], [2, 3, 4], [5]]

    asyncio.run(main())


def test_a_call_that_swallows_its_cancellation_is_left_behind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.execution.job_tasks.CLEANUP_SECONDS", 0.05)
    app, may_end = App(), threading.Event()

    @app.handler(batch=2, concurrency=1)
    async def many() -> None:
        while not may_end.is_set():
            with suppress(asyncio.CancelledError):
                await asyncio.sleep(0.02)

    async def main() -> None:
        harness = Harness(app, policy=Policy(timeout=0.05, max_attempts=1))
        jobs = start(harness, [1, 2])
        while any(job.is_open for job in jobs):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        assert [result_of(job.outcome)["error"]["type"] for job in jobs] == ["Timeout"] * 2
        assert harness.tasks.uncancellable == {job.task for job in jobs}
        may_end.set()
        (third,) = start(harness, [3])  # the limit of one call does not count it any more
        assert result_of(await harness.ended(third))["status"] == "succeeded"

    asyncio.run(main())


def test_a_thread_over_its_limit_is_left_behind(caplog: pytest.LogCaptureFixture) -> None:
    app, may_end = App(), threading.Event()

    @app.handler(batch=2)
    def many() -> None:
        may_end.wait(10)

    async def main() -> None:
        harness = Harness(app, policy=Policy(timeout=0.05, max_attempts=1))
        outcomes = await ended(harness, start(harness, [1, 2]))
        assert [result_of(outcome)["error"]["type"] for outcome in outcomes] == ["Timeout"] * 2
        assert len(harness.threads.left_behind) == 1
        may_end.set()
        while harness.threads.left_behind:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    asyncio.run(main())
    assert "Job '0' ('many') and 1 more: its thread can't be stopped" in caplog.text


CallNext = Callable[[], Awaitable[Any]]


def test_middleware_wraps_each_job_of_a_call() -> None:
    app, calls = doubling(linger=0.05)

    @app.middleware
    async def wrap(job: Job, call_next: CallNext) -> Any:
        if job.payload["n"] == 2:
            raise Reject("not this one")
        if job.payload["n"] == 3:
            await asyncio.sleep(0.02)  # the others wait for it
        return [job.id, await call_next()]

    outcomes = run(app, rows(1, 2, 3))
    assert [outcome.reason for outcome in outcomes] == [None, "rejected", None]
    assert results([outcomes[0], outcomes[2]]) == [["0", 2], ["2", 6]]
    assert calls == [[1, 3]]


def test_middleware_may_give_up_on_one_job_and_call_next_works_once() -> None:
    async def main() -> None:
        holding = Holding()

        @holding.app.middleware
        async def impatient(job: Job, call_next: CallNext) -> Any:
            if job.payload == 1:
                async with asyncio.timeout(0.05):
                    await call_next()
            value = await call_next()
            if job.payload == 3:
                await call_next()
            return value

        harness = Harness(holding.app, policy=Policy(max_attempts=1))
        jobs = start(harness, [1, 2, 3])
        assert result_of(await harness.ended(jobs[0]))["error"]["type"] == "TimeoutError"
        holding.go.set()
        assert result_of(await harness.ended(jobs[1]))["result"] == 2
        error = result_of(await harness.ended(jobs[2]))["error"]
        assert "call_next() can be awaited once" in error["message"]
        assert holding.ends == ["done"]

    asyncio.run(main())


def test_what_would_end_the_process_fails_the_jobs_only() -> None:
    app = App()

    @app.handler(batch=2)
    async def many() -> None:
        raise SystemExit(3)

    outcomes = run(app, [1, 2], policy=Policy(max_attempts=1))
    assert [result_of(outcome)["error"]["type"] for outcome in outcomes] == ["SystemExit"] * 2


def test_a_batch_of_which_nobody_arrives_makes_no_call_and_frees_its_turn() -> None:
    app, calls = doubling(concurrency=1)
    outcomes = run(app, [{"n": "x"}, {"n": "y"}, {"n": "z"}, {"n": 4}])
    assert [outcome.reason for outcome in outcomes] == [*["payload_invalid"] * 3, None]
    assert calls == [[4]]
