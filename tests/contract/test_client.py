"""`worker.Client`: what a Python producer pushes, and how it hears of results."""

import json
import re
import signal
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import pytest
import redis
from pydantic import BaseModel
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import TimeoutError as RedisTimeoutError

from tests.support.ports import free_port
from tests.support.servers import RedisServer
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import Shared
from worker import Client, ConfigInfo, ErrorInfo, Malformed, NotOpen, Result, Settings

APP = "tests.apps.contract:app"
SETTINGS = {"max_attempts": 1}

Main = Callable[[Client], Coroutine[Any, Any, Any]]


@pytest.fixture
def idle(shared: Shared) -> redis.Redis:
    """The module's Redis, whose queue `idle` no worker serves."""
    shared.r.delete("idle", "{idle}:scheduled")
    return shared.r


@pytest.fixture
def within(shared: Shared) -> Callable[[Main], Any]:
    """Run a coroutine function with an open client."""

    def run(main: Main, **settings: Any) -> Any:
        async def opened() -> Any:
            url = settings.pop("redis_url", shared.redis_server.url)
            async with Client(Settings(redis_url=url, **settings)) as client:
                return await main(client)

        return anyio.run(opened)

    return run


def pushed(r: redis.Redis) -> list[dict[str, Any]]:
    """The jobs of the queue `idle`, first to be taken first."""
    return [json.loads(raw) for raw in reversed(r.lrange("idle", 0, -1))]


def now_ms(r: redis.Redis) -> int:
    seconds, micros = r.time()
    return int(seconds * 1000 + micros // 1000)


def calls(r: redis.Redis, *commands: str) -> int:
    """How often these were called since the last `config_resetstat`."""
    stats = r.info("commandstats")
    return sum(stats.get(f"cmdstat_{name}", {"calls": 0})["calls"] for name in commands)


# -- enqueue ------------------------------------------------------------------------------------


def test_enqueue_pushes_one_job_and_gives_its_id(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    before = now_ms(idle)
    job_id = within(lambda client: client.enqueue("resize", {"url": "u"}, queue="idle"))
    (job,) = pushed(idle)
    assert re.fullmatch(r"[0-9a-f]{32}", job_id)
    assert before <= job.pop("enqueued_at") <= now_ms(idle)
    assert job == {"id": job_id, "handler": "resize", "payload": {"url": "u"}}


def test_enqueue_takes_every_field_of_the_contract(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    fields = {"config": "tenant", "expires_at": 99_999_999_999_999, "reply_to": "answers"}
    main = lambda client: client.enqueue("h", [1], id="mine", queue="idle", **fields)  # noqa: E731
    assert within(main) == "mine"
    (job,) = pushed(idle)
    assert {**job, "enqueued_at": 0} == {
        "id": "mine",
        "handler": "h",
        "payload": [1],
        "enqueued_at": 0,
        **fields,
    }


def test_the_queue_is_that_of_the_settings_unless_named(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    within(lambda client: client.enqueue("h"), queue=("idle", "another"))
    assert len(pushed(idle)) == 1


def test_jobs_are_taken_in_the_order_in_which_they_were_enqueued(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    async def main(client: Client) -> None:
        for n in range(3):
            await client.enqueue("h", n, queue="idle")

    within(main)
    assert [job["payload"] for job in pushed(idle)] == [0, 1, 2]


class Order(BaseModel):
    number: int
    at: datetime


def test_payloads_are_anything_that_pydantic_can_serialise(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    payload = {"order": Order(number=1, at=datetime(2026, 11, 1, tzinfo=UTC)), "tags": {"a"}}
    within(lambda client: client.enqueue("h", payload, queue="idle"))
    expected = {"order": {"number": 1, "at": "2026-11-01T00:00:00Z"}, "tags": ["a"]}
    assert pushed(idle)[0]["payload"] == expected


def test_a_delay_is_counted_on_redis_clock(
    within: Callable[..., Any], idle: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    before = now_ms(idle)
    job_id = within(lambda client: client.enqueue("h", queue="idle", delay=60.5))
    ((raw, due),) = idle.zrange("{idle}:scheduled", 0, -1, withscores=True)
    assert json.loads(raw)["id"] == job_id
    assert before + 60_500 <= due <= now_ms(idle) + 60_500
    assert before <= json.loads(raw)["enqueued_at"] <= now_ms(idle)
    assert not idle.exists("idle")


def test_every_job_has_redis_time_whatever_the_hosts_is(
    within: Callable[..., Any], idle: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() + 3600)
    before = now_ms(idle)
    idle.config_resetstat()

    async def main(client: Client) -> None:
        for _ in range(20):
            await client.enqueue("h", queue="idle")
        await client.enqueue_many([{"handler": "h"}] * 20, queue="idle")

    within(main)
    stamps = [job["enqueued_at"] for job in pushed(idle)]
    assert len(stamps) == 40
    assert before - 10 <= stamps[0]
    assert stamps == sorted(stamps)
    assert stamps[-1] <= now_ms(idle) + 10
    # Once Redis's time is known, a job is a plain LPUSH.
    assert calls(idle, "eval", "evalsha") <= 2


def test_many_tasks_enqueue_and_wait_with_one_client(
    shared: Shared, within: Callable[..., Any]
) -> None:
    found: dict[str, Any] = {}

    async def one(client: Client, number: int) -> None:
        job_id = await client.enqueue("echo", number)
        found[job_id] = (await client.result(job_id, timeout=10)).result["payload"]

    async def main(client: Client) -> None:
        async with anyio.create_task_group() as group:
            for number in range(40):
                group.start_soon(one, client, number)

    within(main, concurrency=100)
    assert sorted(found.values()) == list(range(40))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"handler": ""}, "handler must be"),
        ({"handler": 5}, "handler must be"),
        ({"handler": "h", "id": ""}, "id must have 1 to 256 characters"),
        ({"handler": "h", "id": "x" * 257}, "id must have 1 to 256 characters"),
        ({"handler": "h", "config": ""}, "config must have 1 to 2,048 bytes"),
        ({"handler": "h", "expires_at": 1.5}, "expires_at must be an integer"),
        ({"handler": "h", "reply_to": "{idle}:dead"}, "the queue's own keys"),
        ({"handler": "h", "payload": float("nan")}, "not JSON"),
        ({"handler": "h", "payload": "x" * 1000}, "WORKER_MAX_JOB_BYTES"),
    ],
)
def test_what_no_worker_would_take_is_refused_and_not_pushed(
    within: Callable[..., Any], idle: redis.Redis, arguments: dict[str, Any], message: str
) -> None:
    with pytest.raises(Malformed, match=message):
        within(lambda client: client.enqueue(queue="idle", **arguments), max_job_bytes=1000)
    assert not idle.exists("idle")


def test_what_is_accepted_is_as_small_as_workers_ask_for(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    async def largest(client: Client) -> int:
        for size in range(1000, 0, -1):
            try:
                await client.enqueue("h", "x" * size, id="x", queue="idle")
            except Malformed:
                continue
            return size
        return 0

    assert within(largest, max_job_bytes=1000) > 900
    (raw,) = idle.lrange("idle", 0, -1)
    assert len(raw) == 1000


# -- enqueue_many -------------------------------------------------------------------------------


def test_enqueue_many_keeps_ids_makes_them_where_absent_and_keeps_the_order(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    jobs = (
        {"handler": "h", "payload": n, **({"id": f"{n}"} if n % 2 else {})} for n in range(1200)
    )
    ids = within(lambda client: client.enqueue_many(jobs, queue="idle"))
    assert len(set(ids)) == 1200
    assert ids[1::2] == [f"{n}" for n in range(1, 1200, 2)]
    found = pushed(idle)
    assert [job["id"] for job in found] == ids
    assert [job["payload"] for job in found] == list(range(1200))
    assert all(type(job["enqueued_at"]) is int for job in found)


def test_enqueue_many_takes_a_few_exchanges(within: Callable[..., Any], idle: redis.Redis) -> None:
    idle.config_resetstat()
    jobs = [{"handler": "h"}] * 1000
    within(lambda client: client.enqueue_many(jobs, queue="idle"))
    assert idle.llen("idle") == 1000
    assert calls(idle, "eval", "evalsha", "lpush") <= 4


def test_enqueue_many_keeps_fields_of_the_producers_own(
    within: Callable[..., Any], idle: Any
) -> None:
    job = {
        "id": "x",
        "handler": "h",
        "tenant": {"a": None},
        "enqueued_at": 5,
        "traceparent": "00-1",
    }
    within(lambda client: client.enqueue_many([job, {**job, "enqueued_at": None}], queue="idle"))
    first, second = pushed(idle)
    assert first == job
    assert second["enqueued_at"] > 5
    assert all(raw.count("enqueued_at") == 1 for raw in idle.lrange("idle", 0, -1))


def test_enqueue_many_of_nothing_pushes_nothing(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    assert within(lambda client: client.enqueue_many([], queue="idle")) == []
    assert not idle.exists("idle")


def test_a_bad_job_among_many_is_refused_before_anything_of_its_step_is_pushed(
    within: Callable[..., Any], idle: redis.Redis
) -> None:
    with pytest.raises(Malformed):
        within(lambda client: client.enqueue_many([{"handler": "h"}, {"id": "x"}], queue="idle"))
    assert not idle.exists("idle")


# -- result -------------------------------------------------------------------------------------


def test_a_result_has_the_contracts_fields_as_attributes(
    shared: Shared, within: Callable[..., Any]
) -> None:
    shared.table.put("versioned", version=7)

    async def main(client: Client) -> Result:
        job_id = await client.enqueue("echo", "x", config="versioned")
        return await client.result(job_id, timeout=20)

    result = within(main)
    raw: Any = shared.r.get(f"{{jobs}}:result:{result.id}")
    stored = json.loads(raw)
    assert result.result == {"payload": "x", "config": {"version": 7}, "attempt": 1}
    assert result.config == ConfigInfo("versioned", 7, stale=False)
    assert result.error is None
    names = (
        "id handler status result attempts worker enqueued_at started_at finished_at".split()  # noqa: SIM905
    )
    assert {name: getattr(result, name) for name in names} == {name: stored[name] for name in names}


def test_a_failed_result_has_its_error(within: Callable[..., Any]) -> None:
    async def main(client: Client) -> Result:
        return await client.result(await client.enqueue("fail", "no luck"), timeout=20)

    result = within(main)
    assert (result.status, result.result, result.config) == ("failed", None, None)
    assert isinstance(result.error, ErrorInfo)
    assert (result.error.type, result.error.message) == ("ValueError", "no luck")
    assert "ValueError: no luck" in str(result.error.traceback)


def test_a_result_that_is_there_already_is_given_at_once(
    shared: Shared, within: Callable[..., Any]
) -> None:
    job_id = shared.producer.run("echo")["id"]
    for timeout in (None, 0, 5):
        assert within(lambda client, t=timeout: client.result(job_id, timeout=t)).id == job_id


def test_a_result_that_does_not_come_is_a_timeout(within: Callable[..., Any]) -> None:
    for timeout in (0, 0.05):
        with pytest.raises(TimeoutError, match="'nobody'"):
            within(lambda client, t=timeout: client.result("nobody", timeout=t))


def test_a_result_may_be_another_queues(
    idle: redis.Redis, shared: Shared, within: Callable[..., Any]
) -> None:
    result = shared.producer.run("echo")
    idle.set("{idle}:result:1", json.dumps({**result, "id": "1"}))
    assert within(lambda client: client.result("1", timeout=0, queue="idle")).id == "1"
    with pytest.raises(TimeoutError):
        within(lambda client: client.result("1", timeout=0))


def test_no_result_is_missed_however_quick_it_is(within: Callable[..., Any]) -> None:
    async def main(client: Client) -> list[Any]:
        return [
            (await client.result(await client.enqueue("echo", n), timeout=20)).result["payload"]
            for n in range(100)
        ]

    assert within(main) == list(range(100))


def test_results_are_waited_for_on_one_subscription_and_never_polled(
    shared: Shared, within: Callable[..., Any]
) -> None:
    shared.r.config_resetstat()

    def gets() -> int:
        return int(shared.r.info("commandstats").get("cmdstat_get", {"calls": 0})["calls"])

    async def main(client: Client) -> list[Any]:
        ids = [f"waits-{n}" for n in range(50)]
        found = {}

        async def wait(job_id: str) -> None:
            found[job_id] = await client.result(job_id, timeout=20)

        async with anyio.create_task_group() as group:
            for job_id in ids:
                group.start_soon(wait, job_id)
            await _until(lambda: gets() >= 50)
            pubsubs = [c for c in shared.r.client_list() if int(c["sub"]) > 0]
            assert len(pubsubs) == 1
            await anyio.sleep(0.3)
            assert gets() == 50
            await client.enqueue_many({"id": job_id, "handler": "echo"} for job_id in ids)
        await _until(lambda: not shared.r.pubsub_channels("*waits*"))
        return sorted(found)

    assert within(main) == sorted(f"waits-{n}" for n in range(50))


def test_results_arrive_over_the_older_protocol_too(
    shared: Shared, within: Callable[..., Any]
) -> None:
    async def main(client: Client) -> Result:
        async with _waiting(client, "resp2") as results:
            await _until(lambda: shared.r.pubsub_channels("*resp2*"))
            await client.enqueue("echo", "hello", id="resp2")
        return results[0]

    assert within(main, redis_url=f"{shared.redis_server.url}?protocol=2").id == "resp2"


def test_a_lost_subscription_is_made_again(shared: Shared, within: Callable[..., Any]) -> None:
    async def main(client: Client) -> Result:
        async with _waiting(client, "cut off") as results:
            await _until(lambda: shared.r.pubsub_channels("*cut off*"))
            shared.r.client_kill_filter(_type="pubsub")
            await _until(lambda: shared.r.pubsub_channels("*cut off*"))
            shared.producer.push("echo", id="cut off")
        return results[0]

    assert within(main).id == "cut off"


def test_a_result_recorded_while_the_subscription_was_lost_is_found(
    shared: Shared, within: Callable[..., Any]
) -> None:
    async def main(client: Client) -> Result:
        async with _waiting(client, "meanwhile") as results:
            await _until(lambda: shared.r.pubsub_channels("*meanwhile*"))
            raw = json.dumps({**shared.producer.run("echo"), "id": "meanwhile"})
            with shared.r.pipeline(transaction=True) as pipe:
                pipe.client_kill_filter(_type="pubsub")
                pipe.set("{jobs}:result:meanwhile", raw)  # published to nobody
                pipe.execute()
        return results[0]

    assert within(main).id == "meanwhile"


async def _until(condition: Callable[[], Any]) -> None:
    until = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < until
        await anyio.sleep(0.01)


@asynccontextmanager
async def _waiting(client: Client, job_id: str) -> AsyncIterator[list[Result]]:
    results: list[Result] = []

    async def wait() -> None:
        results.append(await client.result(job_id, timeout=20))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        yield results


# -- open and closed ----------------------------------------------------------------------------


def test_settings_are_read_from_the_environment_where_none_are_given(
    shared: Shared, idle: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WORKER_REDIS_URL", shared.redis_server.url)
    monkeypatch.setenv("WORKER_QUEUE", "idle")

    async def main() -> None:
        async with Client() as client:
            await client.enqueue("h")

    anyio.run(main)
    assert len(pushed(idle)) == 1


def test_a_client_that_is_not_open_says_so(shared: Shared) -> None:
    client = Client(Settings(redis_url=shared.redis_server.url))

    async def main() -> None:
        async with client:
            pass
        await client.enqueue("h")

    for way in (lambda: client.enqueue("h"), main, lambda: client.result("x")):
        with pytest.raises(NotOpen, match="async with Client"):
            anyio.run(way)


def test_nothing_is_left_open(shared: Shared, within: Callable[..., Any]) -> None:
    before = len(shared.r.client_list())

    async def main(client: Client) -> None:
        await client.result(await client.enqueue("echo"), timeout=20)

    within(main)
    wait_until(lambda: len(shared.r.client_list()) == before)


def test_within_a_handler_a_client_uses_the_workers_own_connection(shared: Shared) -> None:
    before = len(shared.r.client_list())
    for n in range(20):
        assert shared.producer.run("passes_on", n)["result"] == n
    assert len(shared.r.client_list()) <= before + 2


def test_a_redis_that_is_away_is_an_error_at_once(within: Callable[..., Any]) -> None:
    url = f"redis://127.0.0.1:{free_port()}/0"
    for main in (lambda client: client.enqueue("h"), lambda client: client.result("x", timeout=5)):
        before = time.monotonic()
        with pytest.raises(RedisConnectionError):
            within(main, redis_url=url)
        assert time.monotonic() - before < 3 + tolerance()


def test_a_redis_that_takes_no_more_bytes_is_a_timeout(
    within: Callable[..., Any],
    redis_binary: str | None,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("worker.broker.connect.REDIS_TIMEOUT", 1.0)
    size = 64 * 1024 * 1024

    async def main(client: Client) -> None:
        await client.enqueue("h", "first")
        server.signal(signal.SIGSTOP)
        with pytest.raises(RedisTimeoutError, match="writing"):
            await client.enqueue("h", "x" * (size - 1000))
        server.signal(signal.SIGCONT)
        await client.enqueue("h", "last")

    with RedisServer(tmp_path, binary=redis_binary) as server:
        within(main, redis_url=server.url, max_job_bytes=size)
        with server.client() as r:
            payloads = [json.loads(raw)["payload"][:10] for raw in r.lrange("jobs", 0, -1)]
    assert payloads[0] == "last"
    assert payloads[-1] == "first"
