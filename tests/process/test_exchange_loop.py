"""The exchange loop and the recoverer in process, on a real Redis, with replies that get lost."""

import json
from collections import Counter
from collections.abc import Awaitable, Sequence
from typing import Any

import pytest
import redis
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError

from tests.support.in_process import StartInProcess
from tests.support.producer import Producer, job
from tests.support.servers import RedisServer
from worker import App, Job
from worker.broker.queue import Exchange, Queue
from worker.jobs.clock import RedisClock
from worker.jobs.outcome import Outcome

pytestmark = pytest.mark.anyio

app = App()
runs: Counter[str] = Counter()
TOTAL = 2000


@app.handler
async def count(job: Job) -> int:
    runs[job.id] += 1
    return runs[job.id]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


class Exchanges:
    """Counts exchanges and what they claim, and loses every `lose`-th reply."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, lose: int = 0) -> None:
        self.claims: list[int] = []
        self.lost = 0
        send = Queue.send

        async def counted(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Any:
            return receive(await send(queue, outcomes, limit))

        async def receive(answer: Awaitable[Exchange]) -> Exchange:
            exchange = await answer
            self.claims.append(len(exchange.jobs))
            if lose and len(self.claims) % lose == 0:
                self.lost += 1
                raise RedisConnectionError("the reply is lost")
            return exchange

        monkeypatch.setattr(Queue, "send", counted)


async def test_a_flood_is_claimed_in_few_exchanges(
    worker_in_process: StartInProcess, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanges = Exchanges(monkeypatch)
    runs.clear()
    producer.push_raw(*(job("count", id=f"{number}") for number in range(TOTAL)))
    async with worker_in_process(app, concurrency=100) as worker:
        await worker.drain()
    assert sum(exchanges.claims) == TOTAL
    # Halves of the slots, once config is known; a few more where an exchange finds fewer free.
    assert len([claimed for claimed in exchanges.claims if claimed]) <= 60
    assert max(exchanges.claims) <= 100


async def test_with_every_seventh_reply_lost_each_job_runs_and_is_recorded_once(
    worker_in_process: StartInProcess, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchanges = Exchanges(monkeypatch, lose=7)
    runs.clear()
    producer.push_raw(
        *(job("count", id=f"{number}", reply_to="replies") for number in range(TOTAL))
    )
    async with worker_in_process(app, concurrency=100) as worker:
        await worker.drain()
    assert exchanges.lost >= 2
    assert set(runs.values()) == {1}
    assert len(runs) == TOTAL
    answered = Counter(json.loads(raw)["id"] for raw in producer.r.lrange("replies", 0, -1))
    assert len(answered) == TOTAL
    assert set(answered.values()) == {1}


async def test_a_dead_workers_jobs_come_back_at_the_front_in_their_order(
    worker_in_process: StartInProcess, producer: Producer, redis_server: RedisServer, r: redis.Redis
) -> None:
    """With one more crash each. They are fewer than the hundred that go back in one step."""
    first = [job("count", id=f"held-{number}") for number in range(80)]
    producer.push_raw(*first)
    async with Redis.from_url(redis_server.url) as client:
        dead = Queue(client, "jobs", "dead-worker", RedisClock())
        await dead.register(60)
        assert len((await dead.exchange([], 80)).jobs) == 80
    r.zadd("{jobs}:workers", {"dead-worker": 1})
    order: list[str] = []
    noted = App()

    @noted.handler
    async def count(job: Job) -> int:
        order.append(job.id)
        return job.crashes

    producer.push_raw(*(job("count", id=f"pending-{number}") for number in range(10)))
    async with worker_in_process(noted, concurrency=1, lease=1.5) as worker:
        await worker.drain()
        while r.zscore("{jobs}:workers", "dead-worker") is not None:
            await worker.drain()
        await worker.drain()
    held = [name for name in order if name.startswith("held")]
    assert held == [f"held-{number}" for number in range(80)]
    assert {producer.result(name, 0)["result"] for name in held} == {1}


async def test_a_twin_that_a_lost_exchange_claimed_runs_although_its_bytes_were_recorded(
    worker_in_process: StartInProcess, producer: Producer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its bytes are those of the job whose outcome the same exchange recorded."""
    twin = job("count", id="twin", reply_to="replies")
    send = Queue.send
    lost: list[bool] = []

    async def lossy(queue: Queue, outcomes: Sequence[Outcome], limit: int) -> Any:
        return receive(await send(queue, outcomes, limit), bool(outcomes))

    async def receive(answer: Awaitable[Exchange], settles: bool) -> Exchange:
        exchange = await answer
        if settles and exchange.jobs and not lost:
            lost.append(True)
            raise RedisConnectionError("the reply is lost")
        return exchange

    monkeypatch.setattr(Queue, "send", lossy)
    runs.clear()
    producer.push_raw(twin, twin, twin)
    async with worker_in_process(app, concurrency=1) as worker:
        await worker.drain()
    assert lost
    assert runs == {"twin": 3}
    results = [json.loads(raw)["result"] for raw in producer.r.lrange("replies", 0, -1)]
    assert sorted(results) == [1, 2, 3]
