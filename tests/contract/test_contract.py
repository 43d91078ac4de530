"""Section 1 of the contract: the keys, the job's fields, the result's fields."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.producer import Producer
from tests.support.servers import RedisServer
from tests.support.waiting import wait_until
from tests.support.worker_process import Shared, StartWorker

APP = "tests.apps.contract:app"
SETTINGS = {"lease": 3, "backoff_base": 0.01, "backoff_max": 0.02, "max_attempts": 3}

RESULT = {
    "id",
    "handler",
    "status",
    "result",
    "error",
    "attempts",
    "config",
    "worker",
    "enqueued_at",
    "started_at",
    "finished_at",
}


def now_ms(r: Any) -> int:
    seconds, micros = r.time()
    return seconds * 1000 + micros // 1000


@pytest.fixture
def p(shared: Shared) -> Iterator[Producer]:
    """The shared worker's producer; afterwards nothing may be left pending, active or scheduled."""
    shared.r.delete("notes")
    yield shared.producer
    shared.producer.wait_idle()


# -- the keys -----------------------------------------------------------------------------------


def test_a_job_pushed_with_redis_cli_just_works(shared: Shared, p: Producer) -> None:
    shared.r.execute_command("LPUSH", "jobs", '{"id":"1","handler":"echo","payload":"hi"}')
    assert p.result("1")["result"]["payload"] == "hi"


def test_workers_take_from_the_right_end_and_rpush_jumps_the_queue(
    start_worker: StartWorker, producer: Producer
) -> None:
    for name in "abc":
        producer.push("note", name)
    producer.r.rpush("jobs", '{"id":"first","handler":"note"}')
    start_worker("--burst", app=APP, concurrency=1, ready=False).wait()
    assert producer.r.lrange("notes", 0, -1) == ["first", "a", "b", "c"]


def test_a_claimed_job_stands_in_its_workers_active_list_byte_for_byte(
    shared: Shared, p: Producer
) -> None:
    raw = '{ "id" :"held",  "handler":"wait", "payload":"go", "mine": 1.50 }'
    shared.r.lpush("jobs", raw)
    wait_until(lambda: p.active() == [raw])
    (worker,) = shared.r.zrange("{jobs}:workers", 0, -1)
    assert shared.r.lrange(f"{{jobs}}:active:{worker}", 0, -1) == [raw]
    assert shared.r.llen("jobs") == 0
    shared.r.lpush("go", "now")
    assert p.result("held")["worker"] == worker
    assert p.active() == []


def test_a_lease_ends_within_its_length_in_ms_on_redis_clock(shared: Shared) -> None:
    ((worker, first),) = shared.r.zrange("{jobs}:workers", 0, -1, withscores=True)
    assert worker in shared.worker.log
    assert 0 < first - now_ms(shared.r) <= 3_000
    wait_until(lambda: shared.r.zscore("{jobs}:workers", worker) > first)


def test_any_producer_may_schedule_a_job_with_zadd(shared: Shared, p: Producer) -> None:
    due = now_ms(shared.r) + 400
    shared.r.zadd("{jobs}:scheduled", {'{"id":"later","handler":"echo"}': due})
    result = p.result("later")
    assert due <= result["started_at"] <= due + 1_000
    assert not shared.r.zcard("{jobs}:scheduled")


def test_no_key_but_the_documented_ones_is_written(
    start_worker: StartWorker, producer: Producer
) -> None:
    for handler in ("echo", "fail", "reject", "nobody"):
        producer.push(handler, "x")
    worker = start_worker(app=APP, max_attempts=2, backoff_max=60, backoff_base=60)
    wait_until(lambda: producer.r.zcard("{jobs}:scheduled") == 2)
    wait_until(lambda: len(producer.r.keys("{jobs}:result:*")) == 2)
    (name,) = producer.r.zrange("{jobs}:workers", 0, -1)
    others = {key for key in producer.r.keys("*") if not key.startswith("{jobs}:result:")}
    assert others == {"{jobs}:workers", "{jobs}:scheduled", "{jobs}:dead"}
    worker.stop()
    assert name in worker.log
    assert not producer.r.exists("{jobs}:workers")


@pytest.mark.parametrize(("queue", "prefix"), [("{eu}jobs", "{eu}jobs:"), ("mail", "{mail}:")])
def test_every_other_key_shares_the_slot_of_the_queues_name(
    start_worker: StartWorker, r: Any, queue: Any, prefix: Any
) -> None:
    producer = Producer(r, queue, prefix)
    worker = start_worker("--queue", queue, app=APP)
    held = producer.push("wait", "go")
    wait_until(producer.active)
    r.lpush("go", "now")
    assert producer.result(held)["status"] == "succeeded"
    rejected = producer.push("reject", "no")
    assert producer.dead_entry(rejected)["reason"] == "rejected"
    r.zadd(f"{prefix}scheduled", {'{"id":"later","handler":"about"}': 1})
    assert producer.result("later")["result"]["queue"] == queue
    assert r.zcard(f"{prefix}workers") == 1
    assert all(key.startswith(prefix) for key in r.keys("*"))
    worker.stop()


def test_one_worker_serves_several_queues(start_worker: StartWorker, r: Any) -> None:
    start_worker("--queue", "jobs", "--queue", "{eu}jobs", app=APP)
    producers = [Producer(r), Producer(r, "{eu}jobs", "{eu}jobs:")]
    results = [producer.run("about") for producer in producers]
    assert [result["result"]["queue"] for result in results] == ["jobs", "{eu}jobs"]


# -- the job ------------------------------------------------------------------------------------


def test_all_but_id_and_handler_may_be_left_out(shared: Shared, p: Producer) -> None:
    shared.r.lpush("jobs", '{"id":"bare","handler":"echo"}')
    result = p.result("bare")
    assert result["result"] == {"payload": None, "config": {}, "attempt": 1}
    assert result["enqueued_at"] is None


def test_the_payload_is_any_json(p: Producer) -> None:
    payloads = [None, True, 0, -1.5, "", "ü\u0000😀", [], {}, [[{"a": [None]}]], 2**53 + 1, 10**30]  # type: ignore[var-annotated]
    ids = [p.push("echo", payload) for payload in payloads]
    assert [p.result(job_id)["result"]["payload"] for job_id in ids] == payloads


def test_the_handler_sees_the_jobs_fields(p: Producer) -> None:
    trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    fields = {"enqueued_at": 1_700_000_000_000, "traceparent": trace}
    for job_id, attempt in (("at once", 1), ("again", 2)):
        result = p.run("about", id=job_id, **fields)
        assert result["result"] == {
            "id": job_id,
            "handler": "about",
            "attempt": attempt,
            "queue": "jobs",
            **fields,
        }
        assert result["enqueued_at"] == 1_700_000_000_000


def test_what_a_job_says_stays_the_same_through_retries(shared: Shared, p: Producer) -> None:
    job = {
        "id": "kept",
        "handler": "flaky",
        "payload": {"name": "kept", "fails": 1, "delay": 3600, "x": [1e-7, 123456789012345678901]},
        "config": "flaky",
        "reply_to": "elsewhere",
        "enqueued_at": 5,
        "expires_at": 99_999_999_999_999,
        "traceparent": "00-1",
        "crashes": 1,
        "tenant": {"naïve": [1, 2.5, None, "\u2028😀"]},
        "": "an empty name",
    }
    shared.table.put("flaky")
    shared.r.lpush("jobs", json.dumps(job))
    wait_until(lambda: shared.r.zcard("{jobs}:scheduled"))
    ((raw, due),) = shared.r.zrange("{jobs}:scheduled", 0, -1, withscores=True)
    after = json.loads(raw)
    assert after.pop("last_error")["type"] == "Retry"
    assert after == {**job, "attempts": 1}
    assert 3_590_000 < due - now_ms(shared.r) <= 3_600_000
    shared.r.zadd("{jobs}:scheduled", {raw: 0})
    assert p.result("kept")["result"] == 2


LARGE = (
    '{"id":"large","handler":"flaky","payload":{"name":"large","fails":2,"delay":0,"filler":%s}}'
)


@pytest.mark.parametrize(
    "filler", [f'"{"p" * (2**20 - len(LARGE))}"', f"[{','.join(['1e9'] * 200_000)}]"]
)
def test_a_job_of_the_largest_size_may_grow_by_being_retried(
    shared: Shared, p: Producer, filler: Any
) -> None:
    shared.r.lpush("jobs", LARGE % filler)
    assert p.result("large")["attempts"] == 3
    shared.r.delete("{jobs}:result:large")


def test_attempts_count_the_runs_of_the_handler(shared: Shared, p: Producer) -> None:
    result = p.run("flaky", {"name": "third", "fails": 2, "delay": 0})
    assert (result["result"], result["attempts"]) == (3, 3)
    assert shared.r.get("runs:third") == "3"


def test_two_jobs_with_one_id_both_run_and_the_later_result_stands(
    shared: Shared, p: Producer
) -> None:
    p.push("note", "one", id="twin")
    assert p.result("twin")["result"] == "one"
    p.push("note", "two", id="twin")
    wait_until(lambda: p.result("twin")["result"] == "two")
    assert shared.r.lrange("notes", 0, -1) == ["one", "two"]


def test_jobs_of_the_same_bytes_each_run(shared: Shared, p: Producer) -> None:
    raw = '{"id":"same","handler":"note","payload":"x"}'
    shared.r.lpush("jobs", *[raw] * 50)
    wait_until(lambda: shared.r.llen("notes") == 50)
    p.wait_idle()
    assert shared.r.llen("notes") == 50


def test_jobs_of_the_same_bytes_retried_at_once_each_run_again(shared: Shared, p: Producer) -> None:
    payload = {"name": "same", "fails": 1, "delay": 0.3}
    raw = json.dumps({"id": "same2", "handler": "flaky", "payload": payload})
    shared.r.lpush("jobs", *[raw] * 20)
    wait_until(lambda: shared.r.get("runs:same") == "40")
    p.wait_idle()
    assert shared.r.get("runs:same") == "40"


def test_a_job_not_started_in_time_ends_as_expired(shared: Shared, p: Producer) -> None:
    shared.r.delete("answers")
    result = p.run("note", expires_at=now_ms(shared.r) - 1, reply_to="answers", attempts=1)
    assert (result["status"], result["result"], result["error"]) == ("expired", None, None)
    assert (result["attempts"], result["started_at"]) == (1, None)
    assert shared.r.llen("notes") == 0
    assert shared.r.llen("answers") == 1
    assert p.run("note", expires_at=now_ms(shared.r) + 60_000)["status"] == "succeeded"


def test_a_job_past_its_time_needs_no_handler_and_no_config_to_end(
    shared: Shared, p: Producer
) -> None:
    past = now_ms(shared.r) - 1
    assert p.run("nobody", expires_at=past)["status"] == "expired"
    assert p.run("echo", expires_at=past, config="no such item")["status"] == "expired"


def test_a_retry_that_comes_too_late_ends_as_expired(shared: Shared, p: Producer) -> None:
    payload = {"name": "late", "fails": 9, "delay": 0.3}
    result = p.run("flaky", payload, expires_at=now_ms(shared.r) + 200)
    assert (result["status"], result["attempts"]) == ("expired", 1)


def test_times_are_redis_own_however_wrong_the_hosts_are(
    start_worker: StartWorker, producer: Producer
) -> None:
    start_worker(app="tests.apps.wrong_clock:app")
    before = now_ms(producer.r)
    result = producer.run("echo", expires_at=before + 60_000)
    assert result["status"] == "succeeded"
    assert before - 50 <= result["started_at"] <= result["finished_at"] <= now_ms(producer.r) + 50
    died_at = producer.dead_entry(producer.push("reject", "no"))["died_at"]
    assert before <= died_at <= now_ms(producer.r) + 50


# -- the result ---------------------------------------------------------------------------------


def test_a_result_has_these_fields(shared: Shared, p: Producer) -> None:
    shared.table.put("versioned", version=7, a=1)
    before = now_ms(shared.r)
    result = p.run("echo", "x", id="whole", config="versioned", enqueued_at=before)
    (worker,) = shared.r.zrange("{jobs}:workers", 0, -1)
    started_at, finished_at = result.pop("started_at"), result.pop("finished_at")
    assert result == {
        "id": "whole",
        "handler": "echo",
        "status": "succeeded",
        "result": {"payload": "x", "config": {"version": 7, "a": 1}, "attempt": 1},
        "error": None,
        "attempts": 1,
        "config": {"key": "versioned", "version": 7, "stale": False},
        "worker": worker,
        "enqueued_at": before,
    }
    assert before - 50 <= started_at <= finished_at <= now_ms(shared.r) + 50


def test_a_failed_result_has_the_same_fields_and_its_error_stands_in_the_dead_list(
    p: Producer,
) -> None:
    result = p.run("fail", "no luck")
    assert set(result) == RESULT
    assert (result["status"], result["result"], result["attempts"]) == ("failed", None, 3)
    assert set(result["error"]) == {"type", "message", "traceback"}
    assert (result["error"]["type"], result["error"]["message"]) == ("ValueError", "no luck")
    assert "raise ValueError(str(payload))" in result["error"]["traceback"]
    entry = p.dead_entry(result["id"])
    assert set(entry) == {"job", "reason", "error", "attempts", "worker", "died_at"}
    assert (entry["reason"], entry["attempts"]) == ("failed", 3)
    assert (entry["error"], entry["worker"]) == (result["error"], result["worker"])


def test_a_rejected_job_is_buried_at_once(p: Producer) -> None:
    result = p.run("reject", "not ours")
    entry = p.dead_entry(result["id"])
    assert (entry["reason"], entry["attempts"]) == ("rejected", 1)
    assert result["error"]["message"] == "not ours"


def test_the_newest_dead_entry_comes_first(p: Producer) -> None:
    ids = [p.push("reject", "x"), p.push("reject", "y")]
    for job_id in ids:
        p.dead_entry(job_id)
    entries = p.dead()
    newest = [json.loads(entry["job"])["id"] for entry in entries[:2]]
    assert sorted(newest) == sorted(ids)
    assert entries[0]["died_at"] >= entries[1]["died_at"]


def test_errors_are_cut_to_a_bounded_length(p: Producer) -> None:
    error = p.run("fail", "x" * 500_000)["error"]
    assert len(error["message"]) <= 2_000
    assert len(error["traceback"]) <= 10_000


def test_where_there_was_no_config_the_result_says_null(p: Producer) -> None:
    assert p.run("echo")["config"] is None


def test_a_config_without_a_version_has_a_digest_that_changes_with_it(
    shared: Shared, p: Producer
) -> None:
    shared.table.put("plain", a={"x": 1, "y": {"b", "c", "d", "e"}})
    first = p.run("echo", config="plain")["config"]
    shared.table.put("plain", a={"x": 2, "y": {"b", "c", "d", "e"}})
    shared.table.put("other", a={"x": 2, "y": {"b", "c", "d", "e"}})
    assert set(first) == {"key", "version", "stale"}
    assert isinstance(first["version"], str)
    assert 6 <= len(first["version"]) <= 16
    other = p.run("echo", config="other")["config"]
    assert other["version"] != first["version"]


def test_a_result_lives_a_day_by_default(shared: Shared, p: Producer) -> None:
    result = p.run("echo")
    assert 86_390_000 < shared.r.pttl(f"{{jobs}}:result:{result['id']}") <= 86_400_000


def test_a_result_is_published_at_the_moment_it_is_set(shared: Shared, p: Producer) -> None:
    with shared.r.pubsub() as pubsub:
        pubsub.subscribe("{jobs}:result:heard")
        p.push("echo", id="heard")
        wait_until(lambda: (pubsub.get_message(timeout=1) or {}).get("type") == "subscribe")
        message = wait_until(lambda: pubsub.get_message(timeout=1))
        stored, active = shared.r.get("{jobs}:result:heard"), p.active()
    assert message["channel"] == "{jobs}:result:heard"
    assert message["data"] == stored
    assert active == []


def test_the_result_is_pushed_to_reply_to_as_well(shared: Shared, p: Producer) -> None:
    shared.r.delete("answers")
    shared.r.lpush("answers", "older")
    result = p.run("echo", "x", reply_to="answers")
    failed = p.run("reject", "no", reply_to="answers")
    answers = [
        json.loads(raw) if raw != "older" else raw for raw in shared.r.lrange("answers", 0, -1)
    ]
    assert answers == [failed, result, "older"]


def test_a_reply_to_that_redis_refuses_holds_nothing_up(shared: Shared, p: Producer) -> None:
    shared.r.set("text", "no list")
    ids = [p.push("echo", n, reply_to="text" if n % 2 else "answers") for n in range(20)]
    assert [p.result(job_id)["result"]["payload"] for job_id in ids] == list(range(20))
    p.wait_idle()
    assert shared.r.get("text") == "no list"
    wait_until(lambda: "WRONGTYPE" in shared.worker.log)
    assert repr(ids[1]) in shared.worker.log


def test_a_reply_to_without_permission_holds_nothing_up(
    start_worker: StartWorker, redis_server: RedisServer, producer: Producer
) -> None:
    rules = "on nopass resetkeys ~jobs ~{jobs}:* ~answers allchannels +@all"
    producer.r.execute_command("ACL", "SETUSER", "limited", "reset", *rules.split())
    url = redis_server.url.replace("redis://", "redis://limited:any@")
    try:
        worker = start_worker(app=APP, redis_url=url)
        ids = [producer.push("echo", reply_to=name) for name in ("secret", "answers", "secret")]
        assert {producer.result(job_id)["status"] for job_id in ids} == {"succeeded"}
        producer.wait_idle()
        assert producer.r.llen("answers") == 1
        assert not producer.r.exists("secret")
        # One line, whether both came in one exchange or in two.
        wait_until(lambda: "did not take a result for its reply_to" in worker.log)
        assert repr(ids[0]) in worker.log
        assert worker.stop() == 0
    finally:
        producer.r.execute_command("ACL", "DELUSER", "limited")


def test_reply_to_may_be_a_list_that_looks_like_another_queue(shared: Shared, p: Producer) -> None:
    shared.r.delete("jobs2")
    p.run("echo", reply_to="jobs2")
    assert shared.r.llen("jobs2") == 1
