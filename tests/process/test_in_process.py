"""The worker in the process of a test: when `drain` returns, and what it raises."""

import anyio
import pytest

from tests.apps.basic import app
from tests.support.in_process import StartInProcess
from tests.support.producer import Producer
from worker import Reject, Retry
from worker.errors import UnknownHandler

pytestmark = [pytest.mark.anyio, pytest.mark.once]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


async def test_drain_returns_when_all_jobs_have_their_results(
    worker_in_process: StartInProcess, producer: Producer
) -> None:
    ids = [producer.push("nap", 0.05) for _ in range(10)] + [producer.push("retry", 0)]
    async with worker_in_process(app, concurrency=3, max_attempts=2) as worker:
        await worker.drain(Retry)
        assert [producer.result(id, 0)["status"] for id in ids] == ["succeeded"] * 10 + ["failed"]
        assert producer.is_idle()
    assert producer.r.zcard("{jobs}:workers") == 0


async def test_drain_does_not_wait_for_jobs_that_are_not_due(
    worker_in_process: StartInProcess, producer: Producer
) -> None:
    producer.push("retry", 3600)
    async with worker_in_process(app) as worker:
        await worker.drain()
        assert producer.r.zcard("{jobs}:scheduled") == 1


async def test_drain_raises_the_first_unexpected_failure_at_once(
    worker_in_process: StartInProcess, producer: Producer
) -> None:
    async with worker_in_process(app, grace_period=0, backoff_base=3600) as worker:
        producer.push("nap", 3600)
        producer.push("fail", "on purpose")
        with pytest.raises(ValueError, match="on purpose"), anyio.fail_after(30):
            await worker.drain()
        producer.push("no_such_handler", attempts=4)
        with pytest.raises(UnknownHandler, match="no_such_handler"), anyio.fail_after(30):
            await worker.drain()
    assert len(producer.r.lrange("jobs", 0, -1)) == 1


async def test_a_failure_that_is_expected_is_not_raised(
    worker_in_process: StartInProcess, producer: Producer
) -> None:
    async with worker_in_process(app, max_attempts=1) as worker:
        producer.push("fail", "on purpose")
        producer.push("reject", "why not")
        await worker.drain(ValueError, Reject)
        assert sorted(entry["reason"] for entry in producer.dead()) == ["failed", "rejected"]
