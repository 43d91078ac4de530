"""Ownership is checked when a result is written: whoever lost its lease records nothing."""

import asyncio
import json
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from tests.support.producer import Producer, job
from tests.support.redis_proxy import RedisProxy
from tests.support.servers import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker
from worker.broker.queue import Queue
from worker.errors import Reject
from worker.jobs.clock import RedisClock
from worker.jobs.job import decode
from worker.jobs.keys import Keys
from worker.jobs.outcome import Burial, Outcome, StoredResult, bury, finish, later, requeue
from worker.jobs.result import ErrorInfo

APP = "tests.apps.promises:app"
LEASE = 1.0


def worker_ids(r: Any) -> set[str]:
    return set(r.zrange("{jobs}:workers", 0, -1))


def test_a_worker_stopped_for_longer_than_its_lease_loses_its_jobs_and_goes_on(
    start_worker: StartWorker, r: Any, producer: Producer, tmp_path: Path
) -> None:
    told = r.pubsub()
    told.subscribe("{jobs}:result:ends", "{jobs}:result:hangs")
    stopped = start_worker(app=APP, lease=LEASE)
    producer.push("wait_first", str(tmp_path / "go"), id="ends")
    producer.push("wait_first", "/never", id="hangs")
    wait_until(lambda: r.get("runs:ends") and r.get("runs:hangs"))
    (first,) = worker_ids(r)
    other = start_worker(app=APP, lease=LEASE)
    (second,) = wait_until(lambda: worker_ids(r) - {first})

    stopped.signal(signal.SIGSTOP)
    # This handler ends by itself as soon as the worker runs; the other has to be cancelled.
    (tmp_path / "go").touch()
    for id in ("ends", "hangs"):
        taken_over = producer.result(id)
        assert (taken_over["result"], taken_over["worker"]) == ("run 2", second)
        assert taken_over["attempts"] == 1
    wait_until(lambda: first not in worker_ids(r))
    stopped.signal(signal.SIGCONT)

    wait_until(lambda: r.get("cancelled:hangs") == "1")
    wait_until(lambda: first in worker_ids(r))
    wait_until(lambda: "no longer this worker's" in stopped.log)
    assert other.stop() == 0
    producer.push("echo", id="new")
    assert producer.result("new")["worker"] == first
    producer.wait_idle()
    assert {producer.result(id)["worker"] for id in ("ends", "hangs")} == {second}
    assert (r.get("runs:ends"), r.get("runs:hangs")) == ("2", "2")
    assert producer.dead() == []
    messages = iter(lambda: told.get_message(timeout=0.2), None)
    recorded = [m["channel"] for m in messages if m["type"] == "message"]
    told.close()
    assert sorted(recorded) == ["{jobs}:result:ends", "{jobs}:result:hangs"]


def test_what_a_partitioned_worker_sends_too_late_is_refused(
    start_worker: StartWorker,
    r: Any,
    producer: Producer,
    redis_server: RedisServer,
    tmp_path: Path,
) -> None:
    with RedisProxy(redis_server.port) as proxy:
        apart = start_worker(app=APP, lease=LEASE, redis_url=proxy.url)
        producer.push("wait_first", str(tmp_path / "go"), id="1")
        wait_until(lambda: r.get("runs:1"))
        (first,) = worker_ids(r)
        start_worker(app=APP, lease=LEASE)
        proxy.pause()
        # The handler ends, and the result that it sends waits in the proxy.
        (tmp_path / "go").touch()
        taken_over = producer.result("1")
        assert (taken_over["worker"] != first, taken_over["result"]) == (True, "run 2")
        proxy.pause(False)
        wait_until(lambda: "no longer this worker" in apart.log)
        wait_until(lambda: first in worker_ids(r))
        assert producer.result("1") == taken_over
        producer.wait_idle()


# -- the same, in Redis alone ----------------------------------------------------------------------


def on_queue(r: Any, work: Callable[[redis.asyncio.Redis], Awaitable[None]]) -> None:
    port = r.connection_pool.connection_kwargs["port"]

    async def run() -> None:
        async with redis.asyncio.Redis(port=port) as client:
            await work(client)

    asyncio.run(run())


def queue_of(client: redis.asyncio.Redis, worker: str) -> Queue:
    return Queue(client, "jobs", worker, RedisClock())


def test_a_claim_without_a_live_lease_is_refused(r: Any, producer: Producer) -> None:
    async def work(client: redis.asyncio.Redis) -> None:
        queue = queue_of(client, "w")
        producer.push("echo", id="1")
        never_registered = await queue.exchange([], 10)
        assert (never_registered.live, never_registered.jobs) == (False, [])
        await queue.register(0.3)
        r.zadd("{jobs}:workers", {"w": 1})
        ended = await queue.exchange([], 10)
        assert (ended.live, ended.jobs) == (False, [])
        assert await queue.renew(10) is None
        assert r.llen("jobs") == 1
        assert producer.active() == []
        await queue.register(10)
        assert len((await queue.exchange([], 10)).jobs) == 1

    on_queue(r, work)


def outcomes(raw: bytes) -> dict[str, Outcome]:
    job = decode(raw, Keys("jobs"), 1000)
    burial = Burial("rejected", ErrorInfo(Reject.__name__, "why"), 1, "w", 1)
    buried = bury(raw, burial, StoredResult(job.id, b'"late"', 10_000))
    return {
        "result": finish(raw, job, b'"late"', 10_000),
        "retry": later(raw, b'{"id":"1","handler":"echo","attempts":1}', 0),
        "burial": buried,
        "giving back": requeue(raw),
    }


@pytest.mark.parametrize("what", ["result", "retry", "burial", "giving back"])
def test_nothing_is_recorded_for_a_job_that_was_given_back(
    r: Any, producer: Producer, what: Any
) -> None:
    async def work(client: redis.asyncio.Redis) -> None:
        slow, quick = queue_of(client, "slow"), queue_of(client, "quick")
        producer.push("echo", id="1")
        await slow.register(10)
        await quick.register(10)
        (raw,) = (await slow.exchange([], 1)).jobs
        r.zadd("{jobs}:workers", {"slow": 1})
        again = json.dumps({"id": "1", "handler": "echo", "crashes": 1}).encode()
        await quick.recover("slow", [requeue(raw, again)])
        (taken_over,) = (await quick.exchange([], 1)).jobs
        assert taken_over == again

        for lease_is_back in (False, True):
            if lease_is_back:
                await slow.register(10)
            reply = await slow.exchange([outcomes(raw)[what]], 0)
            assert reply.refused == [0]
            assert set(r.keys()) == {"{jobs}:active:quick", "{jobs}:workers"}
        mine = finish(again, decode(again, Keys("jobs"), 1000), b'"mine"', 10_000)
        assert (await quick.exchange([mine], 0)).refused == []
        assert r.get("{jobs}:result:1") == '"mine"'

    on_queue(r, work)


def test_a_living_workers_jobs_are_not_recovered(r: Any, producer: Producer) -> None:
    async def work(client: redis.asyncio.Redis) -> None:
        living, other = queue_of(client, "living"), queue_of(client, "other")
        raw = producer.push_raw(job("echo", id="1")).encode()
        await living.register(10)
        await other.register(10)
        await living.exchange([], 1)
        assert await other.expired_workers() == []
        reply = await other.recover(
            "living", [requeue(raw, job("echo", id="1", crashes=1).encode())]
        )
        assert (reply.live, reply.held) == (True, 1)
        assert producer.active_by_worker() == {"living": [raw.decode()]}

    on_queue(r, work)
