"""A reply that never arrives strands nothing, runs nothing twice, doubles no enqueue."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
import redis

from tests.support.producer import Producer, job
from tests.support.redis_proxy import RedisProxy
from tests.support.servers import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker
from worker import Client, Settings
from worker.broker import scripts

APP = "tests.apps.promises:app"
EXCHANGE = scripts.exchange._digest.encode()
REGISTER = scripts.register._digest.encode()
LEAVE = scripts.deregister._digest.encode()


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


def blocked(r: Any) -> bool:
    """Whether a worker waits in a blocking read."""
    return r.info("clients")["blocked_clients"] > 0


def assert_each_ran_once(producer: Producer, ids: list[str]) -> None:
    for id in ids:
        assert (producer.result(id)["status"], producer.result(id)["attempts"]) == ("succeeded", 1)
    producer.wait_idle()
    assert {producer.r.get(f"runs:{id}") for id in ids} == {"1"}
    assert producer.dead() == []


def test_jobs_whose_claim_had_no_reply_run_once(
    start_worker: StartWorker, r: Any, producer: Producer, proxy: RedisProxy
) -> None:
    ids = [f"claim-{number}" for number in range(50)]
    r.lpush("jobs", *(job("count", id, id=id) for id in ids))
    lost = proxy.lose_next_reply(EXCHANGE, reply=b'"claim-')
    worker = start_worker(app=APP, redis_url=proxy.url, concurrency=20)
    assert_each_ran_once(producer, ids)
    assert lost.is_set()
    assert "whose reply was lost; runs now" in worker.log


def test_a_job_whose_blocking_read_had_no_reply_runs_once(
    start_worker: StartWorker, r: Any, producer: Producer, proxy: RedisProxy
) -> None:
    lost = proxy.lose_next_reply(b"BLMOVE", reply=b'"blmove"')
    start_worker(app=APP, redis_url=proxy.url)
    wait_until(lambda: blocked(r))
    producer.push("count", "blmove", id="blmove")
    assert_each_ran_once(producer, ["blmove"])
    assert lost.is_set()


def test_jobs_whose_settle_had_no_reply_run_once_and_are_published_once(
    start_worker: StartWorker, r: Any, producer: Producer, proxy: RedisProxy
) -> None:
    ids = [f"settle-{number}" for number in range(30)]
    told = r.pubsub()
    told.subscribe(*(f"{{jobs}}:result:{id}" for id in ids))
    lost = [proxy.lose_next_reply(b"succeeded") for _ in range(3)]
    start_worker(app=APP, redis_url=proxy.url, concurrency=5)
    r.lpush("jobs", *(job("count", id, id=id) for id in ids))
    assert_each_ran_once(producer, ids)
    assert all(loss.is_set() for loss in lost)
    messages = iter(lambda: told.get_message(timeout=0.2), None)
    channels = [m["channel"] for m in messages if m["type"] == "message"]
    told.close()
    assert sorted(channels) == sorted(f"{{jobs}}:result:{id}" for id in ids)


def test_a_retry_or_burial_that_had_no_reply_happens_once(
    start_worker: StartWorker, producer: Producer, proxy: RedisProxy
) -> None:
    start_worker(app="tests.apps.basic:app", redis_url=proxy.url, backoff_base=0.01)
    lost = [proxy.lose_next_reply(b"bury"), proxy.lose_next_reply(b"later")]
    producer.push("reject", "why", id="rejected")
    producer.push("fail", "why", id="failing")
    assert (producer.result("rejected")["attempts"], producer.result("failing")["attempts"]) == (
        1,
        5,
    )
    producer.wait_idle()
    assert all(loss.is_set() for loss in lost)
    assert sorted(entry["reason"] for entry in producer.dead()) == ["failed", "rejected"]


def test_a_lease_taken_without_our_hearing_of_it_costs_nothing(
    start_worker: StartWorker, r: Any, producer: Producer, proxy: RedisProxy
) -> None:
    lost = proxy.lose_next_reply(REGISTER)
    start_worker(app=APP, redis_url=proxy.url)
    producer.push("count", "1", id="1")
    assert_each_ran_once(producer, ["1"])
    assert lost.is_set()
    assert r.zcard("{jobs}:workers") == 1


def test_a_deregistration_that_had_no_reply_is_repeated(
    start_worker: StartWorker, r: Any, producer: Producer, proxy: RedisProxy
) -> None:
    worker = start_worker(app=APP, redis_url=proxy.url, grace_period=0)
    raw = producer.push_raw(job("nap", 60, id="1"))
    wait_until(producer.active)
    lost = proxy.lose_next_reply(LEAVE)
    assert worker.stop() == 0
    assert lost.is_set()
    assert r.lrange("jobs", 0, -1) == [raw]
    assert r.zcard("{jobs}:workers") == 0


def test_replies_swallowed_for_a_while_strand_nothing(
    start_worker: StartWorker, r: Any, producer: Producer, proxy: RedisProxy
) -> None:
    ids = [f"{number}" for number in range(200)]
    start_worker(app=APP, redis_url=proxy.url, concurrency=10)
    wait_until(lambda: blocked(r))
    proxy.drop_replies()
    r.lpush("jobs", *(job("echo", id, id=id) for id in ids))
    # Some are claimed now, and nobody has heard of it.
    wait_until(lambda: producer.active() and proxy.lost)
    proxy.drop_replies(False)
    for id in ids:
        assert producer.result(id)["attempts"] == 1
    producer.wait_idle()


def test_connections_reset_under_load_strand_nothing(
    start_worker: StartWorker, r: Any, producer: Producer, proxy: RedisProxy
) -> None:
    ids = [f"{number}" for number in range(500)]
    start_worker(app=APP, redis_url=proxy.url, concurrency=10)
    r.lpush("jobs", *(job("nap", 0.01, id=id) for id in ids))
    for done in range(100, 500, 100):
        wait_until(lambda done=done: r.llen("jobs") < 500 - done)
        proxy.reset_all()
    for id in ids:
        assert producer.result(id)["attempts"] == 1
    producer.wait_idle()
    assert producer.dead() == []


@pytest.mark.parametrize("many", [False, True])
def test_an_enqueue_whose_reply_is_lost_raises_and_is_not_doubled(
    r: Any, proxy: RedisProxy, many: Any
) -> None:
    lost = proxy.lose_next_reply(b"the-payload", reply=b":")

    async def produce() -> None:
        async with Client(Settings(redis_url=proxy.url)) as client:
            job = {"handler": "echo", "payload": "the-payload"}
            with pytest.raises(redis.ConnectionError):
                await (client.enqueue_many([job]) if many else client.enqueue(**job))  # type: ignore[call-overload]
            assert await client.enqueue("echo", "the-next")

    asyncio.run(produce())
    assert lost.is_set()
    assert r.llen("jobs") == 2


def test_an_enqueue_that_gets_no_answer_at_all_raises_and_is_not_doubled(
    r: Any, proxy: RedisProxy
) -> None:
    async def produce() -> None:
        async with Client(Settings(redis_url=proxy.url)) as client:
            await client.enqueue("echo", "warm")
            proxy.drop_replies()
            with pytest.raises(redis.RedisError):
                await client.enqueue("echo", "silence")
            proxy.drop_replies(False)

    asyncio.run(produce())
    assert r.llen("jobs") == 2
