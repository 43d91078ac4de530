"""One worker on several queues: none waits for another."""

import time

import redis

from tests.support.producer import Producer, job
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import StartWorker


def test_each_of_several_idle_queues_is_served(start_worker: StartWorker, r: redis.Redis) -> None:
    queues = [f"q{number}" for number in range(8)]
    start_worker(queue=",".join(queues))
    for turn in ("first", "second"):
        for queue in reversed(queues):
            producer = Producer(r, queue)
            producer.result(producer.push("echo", turn), 5)


def test_a_queue_with_a_backlog_does_not_starve_the_others(
    start_worker: StartWorker, r: redis.Redis
) -> None:
    Producer(r, "full").push_raw(*(job("nap", 0.02) for _ in range(2000)))
    start_worker(queue="full,quiet,silent", concurrency=10)
    wait_until(lambda: r.keys("{full}:result:*"))
    for queue in ("silent", "quiet"):
        begun = time.monotonic()
        Producer(r, queue).run("echo")
        assert time.monotonic() - begun < 1 + tolerance()
    assert r.llen("full") > 0
