"""Requests that Redis does after their sender has given them up, and twins among them."""

import json
from collections.abc import Iterator

import pytest
import redis

from tests.support.producer import Producer, job
from tests.support.redis_proxy import RedisProxy
from tests.support.servers import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

APP = "tests.apps.dying:app"


@pytest.fixture
def proxy(redis_server: RedisServer) -> Iterator[RedisProxy]:
    with RedisProxy(redis_server.port) as proxy:
        yield proxy


def test_a_claim_that_arrives_late_strands_nothing_with_a_worker_that_has_its_hands_full(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, proxy: RedisProxy
) -> None:
    start_worker(app=APP, redis_url=proxy.url, concurrency=1, lease=1.5)
    wait_until(lambda: r.info("clients")["blocked_clients"])
    claim = proxy.hold_next_request(b"BLMOVE")
    assert claim.done.wait(5)
    # Given up after five seconds without a reply; then comes a job that takes long.
    producer.push("nap", 30)
    wait_until(lambda: r.keys("{jobs}:active:*"), 15)
    after = producer.push("nap", 0)
    proxy.release(claim)
    wait_until(lambda: not r.llen("jobs"), 5, "for the late claim")
    start_worker(app=APP, lease=1.5)
    producer.result(after, 5)


def test_of_twins_the_one_whose_settle_had_no_reply_is_dropped_and_the_other_goes_on(
    start_worker: StartWorker, r: redis.Redis, producer: Producer, proxy: RedisProxy
) -> None:
    lost = proxy.lose_next_reply(b"finished_at")
    start_worker(app=APP, redis_url=proxy.url)
    twin = job("second_waits", id="twin", reply_to="replies")
    producer.push_raw(twin, twin)
    assert lost.wait(10)
    producer.run("tell")
    r.set("go", 1)
    wait_until(lambda: r.llen("replies") == 2)
    results = [json.loads(raw)["result"] for raw in r.lrange("replies", 0, -1)]
    assert results == ["run 2", "run 1"]
    assert r.hget("ends", "twin") == "2"
