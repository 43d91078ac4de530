"""Queue inspection and the dead list, against a real Redis."""

import asyncio
import base64
import json
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import redis

from tests.support.servers import RedisServer
from worker import Settings, SettingsError
from worker.broker.admin import QueueAdmin, QueueStatus
from worker.broker.connect import open_redis
from worker.broker.queue import Queue
from worker.jobs.clock import RedisClock

Main = Callable[[QueueAdmin], Coroutine[Any, Any, Any]]
Run = Callable[[Main], Any]


@pytest.fixture
def run(redis_server: RedisServer) -> Callable[[Main], Any]:
    async def opened(main: Main) -> Any:
        async with open_redis(Settings(redis_url=redis_server.url)) as client:
            return await main(QueueAdmin(client, "jobs", max_job_bytes=1000))

    return lambda main: asyncio.run(opened(main))


def _job(job_id: str, **fields: Any) -> str:
    return json.dumps({"id": job_id, "handler": "h", **fields})


def _entry(job_id: str, **fields: Any) -> str:
    job = _job(job_id, attempts=3, crashes=1)
    return json.dumps({"job": job, "reason": "failed", "attempts": 3, **fields})


def _bury(r: redis.Redis, *entries: str | bytes) -> None:
    for entry in entries:
        r.lpush("{jobs}:dead", entry)


def _pending(r: redis.Redis) -> list[dict[str, Any]]:
    """Oldest first."""
    return [json.loads(raw) for raw in reversed(r.lrange("jobs", 0, -1))]


# -- status -------------------------------------------------------------------------------------


def test_the_status_of_an_empty_queue_is_all_zero(run: Run) -> None:
    assert run(QueueAdmin.status) == QueueStatus(0, 0, 0, 0, [])


def test_the_status_counts_every_place_and_each_worker(run: Run, r: redis.Redis) -> None:
    r.lpush("jobs", *(_job(f"{n}") for n in range(5)))
    r.zadd("{jobs}:scheduled", {_job("later"): 1})
    _bury(r, _entry("dead"))

    async def main(admin: QueueAdmin) -> QueueStatus:
        for name, limit in (("w2", 2), ("w1", 1), ("w3", 0)):
            queue = Queue(admin.redis, "jobs", name, RedisClock())
            await queue.register(60)
            await queue.exchange([], limit)
        r.zadd("{jobs}:workers", {"w2": 1})
        return await admin.status()

    status = run(main)
    # The scheduled job was due and became pending with the first exchange.
    assert (status.pending, status.active, status.scheduled, status.dead) == (3, 3, 0, 1)
    assert [(w.id, w.live, w.held) for w in status.workers] == [
        ("w1", True, 1),
        ("w2", False, 2),
        ("w3", True, 0),
    ]
    assert [0 < w.lease_ms <= 60_000 for w in status.workers] == [True, False, True]
    assert status.workers[1].lease_ms == 0


def test_a_worker_id_that_is_no_text_is_counted_all_the_same(run: Run, r: redis.Redis) -> None:
    r.zadd("{jobs}:workers", {b"w\xff": 1})
    r.lpush(b"{jobs}:active:w\xff", _job("1"))
    (worker,) = run(QueueAdmin.status).workers
    assert (worker.id, worker.held) == ("w�", 1)


def test_an_unusable_name_is_refused() -> None:
    with pytest.raises(SettingsError):
        QueueAdmin(None, "", max_job_bytes=1)  # type: ignore[arg-type]


# -- the dead list ------------------------------------------------------------------------------


@pytest.mark.parametrize("count", [0, 1, 99, 100, 101, 250])
def test_the_dead_list_is_read_whole_newest_first(run: Run, r: redis.Redis, count: int) -> None:
    _bury(r, *(_entry(f"{n}") for n in range(count)))

    async def main(admin: QueueAdmin) -> list[str | None]:
        return [entry.id async for entry in admin.dead()]

    assert run(main) == [f"{n}" for n in reversed(range(count))]


def test_jobs_buried_while_it_is_read_shift_nothing(run: Run, r: redis.Redis) -> None:
    _bury(r, *(_entry(f"{n}") for n in range(250)))

    async def main(admin: QueueAdmin) -> list[str | None]:
        ids = []
        async for entry in admin.dead():
            ids.append(entry.id)
            if len(ids) % 40 == 0:
                _bury(r, _entry(f"new {len(ids)}"))
        return ids

    assert run(main) == [f"{n}" for n in reversed(range(250))]


def test_an_entry_has_its_fields_its_job_and_the_job_as_it_runs_next(
    run: Run, r: redis.Redis
) -> None:
    _bury(r, _entry("1", worker="w"))

    async def main(admin: QueueAdmin) -> Any:
        return [entry async for entry in admin.dead()]

    (entry,) = run(main)
    assert (entry.id, entry.handler, entry.problem) == ("1", "h", None)
    assert entry.fields["worker"] == "w"
    assert entry.raw.decode() == _entry("1", worker="w")
    next_job = json.loads(entry.job)
    assert (next_job.get("attempts", 0), next_job.get("crashes", 0)) == (0, 0)


UNREADABLE = [
    b"\xff",
    b"[]",
    b"null",
    b'"text"',
    b"{}",
    b'{"job": 5}',
    b'{"job": null}',
    b'{"job_base64": "?"}',
    b'{"job_base64": 7}',
]
NO_JOBS = [
    json.dumps({"job": "nonsense"}).encode(),
    json.dumps({"job": '{"id": "1"}'}).encode(),
    json.dumps({"job": _job("large", payload="x" * 1000)}).encode(),
    json.dumps({"job_base64": base64.b64encode(b"\xff\xfe").decode()}).encode(),
]


def test_what_can_not_be_enqueued_says_why_and_is_left(run: Run, r: redis.Redis) -> None:
    _bury(r, *UNREADABLE, *NO_JOBS)

    async def main(admin: QueueAdmin) -> None:
        entries = [entry async for entry in admin.dead()]
        problems = [entry.problem for entry in reversed(entries)]
        assert problems[: len(UNREADABLE)] == ["it is no entry that a worker wrote"] * 9
        assert all(str(problem).startswith("it is no job: ") for problem in problems[9:])
        assert all(entry.job is None for entry in entries)
        assert await admin.retry(entries) == 0
        pages = [page async for page in admin.retry_all()]
        assert [(count, len(refused)) for count, refused in pages] == [(0, 13)]
        assert r.llen("{jobs}:dead") == 13

    run(main)


def test_every_entry_of_an_id_is_found_oldest_first(run: Run, r: redis.Redis) -> None:
    _bury(r, *(_entry(job_id, number=n) for n, job_id in enumerate("abcab")))
    found = run(lambda admin: admin.find_dead(["a", "c", "nobody"]))
    assert [(entry.id, entry.fields["number"]) for entry in found] == [("a", 0), ("c", 2), ("a", 3)]


def test_retried_jobs_are_enqueued_once_in_their_order(run: Run, r: redis.Redis) -> None:
    _bury(r, *(_entry(f"{n}") for n in range(5)))
    r.lpush("jobs", _job("first"))

    async def main(admin: QueueAdmin) -> list[int]:
        entries = await admin.find_dead(["1", "3"])
        return [await admin.retry(entries), await admin.retry(entries), await admin.retry([])]

    assert run(main) == [2, 0, 0]
    assert [job["id"] for job in _pending(r)] == ["first", "1", "3"]
    assert r.llen("{jobs}:dead") == 3


@pytest.mark.parametrize("count", [1, 100, 101, 350])
def test_all_are_retried_but_those_with_a_problem(run: Run, r: redis.Redis, count: int) -> None:
    for n in range(count):
        _bury(r, _entry(f"{n}"))
        if n % 7 == 0:
            _bury(r, b"nonsense %d" % n)

    async def main(admin: QueueAdmin) -> tuple[int, int]:
        enqueued = refused = 0
        async for page_enqueued, page_refused in admin.retry_all():
            enqueued += page_enqueued
            refused += len(page_refused)
            _bury(r, _entry("buried again"))  # and not retried a second time
        return enqueued, refused

    bad = (count + 6) // 7
    assert run(main) == (count, bad)
    assert [job["id"] for job in _pending(r)] == [f"{n}" for n in range(count)]
    left = r.lrange("{jobs}:dead", 0, -1)
    assert sum("nonsense" in str(entry) for entry in left) == bad


def test_two_who_retry_all_at_once_enqueue_each_job_once(run: Run, r: redis.Redis) -> None:
    _bury(r, *(_entry(f"{n}") for n in range(250)))

    async def main(admin: QueueAdmin) -> int:
        async def retry_all() -> int:
            return sum([count async for count, _ in admin.retry_all()])

        return sum(await asyncio.gather(retry_all(), retry_all()))

    # What one takes away shifts the other's pages, which may leave some; it doubles none.
    enqueued = run(main)
    ids = [job["id"] for job in _pending(r)]
    assert len(ids) == len(set(ids)) == enqueued
    assert enqueued + r.llen("{jobs}:dead") == 250


def test_dropped_entries_are_gone_and_others_stay(run: Run, r: redis.Redis) -> None:
    _bury(r, *(_entry(f"{n}") for n in range(5)))

    async def main(admin: QueueAdmin) -> list[int]:
        entries = await admin.find_dead(["1", "3"])
        return [await admin.drop(entries), await admin.drop(entries)]

    assert run(main) == [2, 0]
    assert run(QueueAdmin.drop_all) == 3
    assert run(QueueAdmin.drop_all) == 0
    assert r.llen("{jobs}:dead") == 0
