"""`@app.handler(concurrency=...)`: a limit of a handler's own, in process."""

import asyncio
import time
from typing import Any

import pytest

from tests.execution.pipeline import Harness, result_of
from worker import App
from worker.execution.claimed_job import ClaimedJob, JobState, StopReason
from worker.jobs.policy import Policy

pytestmark = pytest.mark.once


class Gate:
    """An app whose limited handler runs until it is let go."""

    def __init__(self, limit: int) -> None:
        self.app = App()
        self.running: list[str] = []
        self.most = 0
        self.go: dict[str, asyncio.Event] = {}

        @self.app.handler(concurrency=limit)
        async def limited(payload: str) -> str:
            self.running.append(payload)
            self.most = max(self.most, len(self.running))
            try:
                await self.go.setdefault(payload, asyncio.Event()).wait()
            finally:
                self.running.remove(payload)
            return payload

        @self.app.handler
        async def free() -> None: ...

    def let_go(self, *names: str) -> None:
        for name in names:
            self.go.setdefault(name, asyncio.Event()).set()


async def settled() -> None:
    """Let every task that can go on do so."""
    for _ in range(10):
        await asyncio.sleep(0)


def test_so_many_run_at_a_time_in_their_order_and_others_are_not_stopped() -> None:
    gate = Gate(2)

    async def main() -> None:
        harness = Harness(gate.app)
        jobs = [harness.start("limited", name) for name in "abcde"]
        await settled()
        assert gate.running == ["a", "b"]
        assert [job.state for job in jobs[2:]] == [JobState.WAITING] * 3
        assert (await harness.run("free")) is not None
        gate.let_go("b")
        await settled()
        assert gate.running == ["a", "c"]
        gate.let_go(*"acde")
        for job in jobs:
            outcome = await harness.ended(job)
            assert result_of(outcome)["status"] == "succeeded"

    asyncio.run(main())
    assert gate.most == 2


def test_a_time_limit_begins_when_the_job_runs() -> None:
    gate = Gate(1)

    async def main() -> None:
        harness = Harness(gate.app, policy=Policy(timeout=0.2, max_attempts=1))
        first, second = harness.start("limited", "a"), harness.start("limited", "b")
        gate.let_go("b")
        assert result_of(await harness.ended(first))["error"]["type"] == "Timeout"
        assert result_of(await harness.ended(second))["status"] == "succeeded"

    asyncio.run(main())


def test_a_job_that_waits_can_be_given_back_and_takes_no_turn() -> None:
    gate = Gate(1)

    async def main() -> None:
        harness = Harness(gate.app)
        first, second, third = (harness.start("limited", name) for name in "abc")
        await settled()
        harness.tasks.stop(second, StopReason.RETURNED)
        assert second.outcome is not None
        assert second.outcome.op == "front"
        gate.let_go(*"ac")
        await harness.ended(first)
        assert result_of(await harness.ended(third))["status"] == "succeeded"
        assert await harness.ended(harness.start("limited", "c"))

    asyncio.run(main())


def test_a_job_that_was_just_given_a_turn_and_is_stopped_passes_it_on() -> None:
    gate = Gate(1)

    async def main() -> None:
        harness = Harness(gate.app)
        first, second, third = (harness.start("limited", name) for name in "abc")
        await settled()
        gate.let_go(*"ac")
        while first.is_open:  # noqa: ASYNC110
            await asyncio.sleep(0)
        assert second.state is JobState.WAITING  # its turn is given, and it has not woken
        harness.tasks.stop(second, StopReason.LOST)
        assert result_of(await harness.ended(third))["status"] == "succeeded"

    asyncio.run(main())


def test_a_handler_that_does_not_stop_keeps_no_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("worker.execution.job_tasks.CLEANUP_SECONDS", 0.05)
    app = App()

    @app.handler(concurrency=1)
    def blocks(payload: float) -> None:
        time.sleep(payload)

    async def main() -> None:
        harness = Harness(app, policy=Policy(timeout=0.1, max_attempts=1))
        first, second = harness.start("blocks", 0.5), harness.start("blocks", 0)
        assert result_of(await harness.ended(first))["error"]["type"] == "Timeout"
        assert result_of(await harness.ended(second))["status"] == "succeeded"
        while harness.threads.left_behind:  # noqa: ASYNC110
            await asyncio.sleep(0.01)

    asyncio.run(main())


def test_a_job_that_expires_while_it_waits_does_not_run() -> None:
    gate = Gate(1)

    async def main() -> None:
        harness = Harness(gate.app)
        soon = harness.clock.now_ms() + 50
        first = harness.start("limited", "a")
        second: ClaimedJob = harness.start("limited", "b", expires_at=soon)
        await asyncio.sleep(0.1)
        gate.let_go("a", "b")
        await harness.ended(first)
        assert result_of(await harness.ended(second))["status"] == "expired"

    asyncio.run(main())


def test_the_config_of_a_job_that_waited_is_read_when_its_turn_comes() -> None:
    gate = Gate(1)

    @gate.app.handler("configured", concurrency=1)
    async def configured(payload: str, config: dict[str, Any]) -> Any:
        await gate.go.setdefault(payload, asyncio.Event()).wait()
        return config

    async def main() -> None:
        harness = Harness(gate.app, {"k": {"n": "old"}})
        first = harness.start("configured", "a", config="k")
        second = harness.start("configured", "b", config="k")
        await settled()
        harness.items.items["k"] = {"key": "k", "n": "new"}
        gate.let_go("a", "b")
        assert result_of(await harness.ended(first))["result"] == {"n": "old"}
        assert result_of(await harness.ended(second))["result"] == {"n": "new"}

    asyncio.run(main())
