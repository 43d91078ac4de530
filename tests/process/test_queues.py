"""One worker on several queues: none waits for another."""

import json
import time
from collections.abc import Callable

import redis

from tests.conftest import Worker
from tests.support.waiting import wait_until


def _push(r: redis.Redis, queue: str, *ids: str, handler: str = "echo", payload: float = 0) -> None:
    jobs = [json.dumps({"id": i, "handler": handler, "payload": payload}) for i in ids]
    r.lpush(queue, *jobs)


def test_each_of_several_idle_queues_is_served(
    start_worker: Callable[..., Worker], r: redis.Redis
) -> None:
    queues = [f"q{number}" for number in range(8)]
    start_worker(queue=",".join(queues))
    for turn in ("first", "second"):
        for queue in reversed(queues):
            _push(r, queue, turn)
            wait_until(lambda q=queue, t=turn: r.exists(f"{{{q}}}:result:{t}"), 5, queue)


def test_a_queue_with_a_backlog_does_not_starve_the_others(
    start_worker: Callable[..., Worker], r: redis.Redis
) -> None:
    _push(r, "full", *(str(number) for number in range(2000)), handler="nap", payload=0.02)
    start_worker(queue="full,quiet,silent", concurrency=10)
    wait_until(lambda: r.exists("{full}:result:0"))
    for queue in ("silent", "quiet"):
        begun = time.monotonic()
        _push(r, queue, "urgent")
        wait_until(lambda q=queue: r.exists(f"{{{q}}}:result:urgent"), 10, queue)
        assert time.monotonic() - begun < 1.5
    assert r.llen("full") > 0
