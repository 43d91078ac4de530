"""Every pushed job ends exactly once in a final state: a result, or the dead list."""

import json
import signal
from typing import Any

from tests.support import kinds
from tests.support.producer import Producer, dead_bytes, job
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker

APP = "tests.apps.leaky:app"


def test_each_kind_of_job_ends_exactly_once_in_its_final_state(
    start_worker: StartWorker, r: Any, producer: Producer, table: Table
) -> None:
    kinds.fill(table, "secret")
    jobs = kinds.jobs("payload")
    r.set("a-string", "no list")
    told = r.pubsub()
    told.psubscribe("{jobs}:result:*")
    told.get_message(timeout=5)
    r.lpush("jobs", *jobs.values())
    r.lpush("jobs", "no JSON", "[]", '{"id":7}')
    start_worker(app=APP, **kinds.SETTINGS)
    wait_until(lambda: r.llen("jobs") == 0)
    producer.wait_idle()

    buried = producer.dead()
    reasons = {id_of(entry): entry["reason"] for entry in buried if id_of(entry) in jobs}
    statuses = {id: producer.result(id)["status"] for id in jobs}
    ends = {id: reasons.get(id) or status for id, status in statuses.items()}
    assert ends == kinds.ENDS
    # Both, where a job failed and its id can be read; the dead list alone, where it can't.
    assert {id for id, status in statuses.items() if status == "failed"} == set(reasons)
    assert len(buried) == len(reasons) + 3
    for entry in buried:
        id = id_of(entry)
        as_pushed = jobs.get(id or "", "").encode()
        if entry["reason"] == "malformed" and as_pushed:
            assert dead_bytes(entry) == as_pushed
        elif as_pushed:
            assert said(dead_bytes(entry)) == said(as_pushed)
    messages = iter(lambda: told.get_message(timeout=0.2), None)
    recorded = [json.loads(message["data"])["id"] for message in messages]
    told.close()
    assert sorted(recorded) == sorted(jobs)
    assert all(r.pttl(f"{{jobs}}:result:{id}") > 0 for id in jobs)


def id_of(entry: dict[str, Any]) -> str | None:
    """The id of a buried job where it can be read: the jobs of this test begin with it."""
    text = dead_bytes(entry).decode()
    return text.split('"')[3] if text.startswith('{"id":') and text.count('"') > 3 else None


def said(raw: bytes) -> dict[str, Any]:
    """What a job says, but for what the workers keep."""
    written = ("attempts", "crashes", "last_error")
    return {k: v for k, v in json.loads(raw).items() if k not in written}


def test_two_jobs_with_one_id_both_run_and_the_later_result_replaces_the_earlier(
    start_worker: StartWorker, r: Any, producer: Producer
) -> None:
    start_worker(app="tests.apps.promises:app")
    raw = job("count", "same", id="same")
    r.lpush("jobs", raw, raw)
    wait_until(lambda: r.get("runs:same") == "2")
    producer.wait_idle()
    r.lpush("jobs", raw)
    wait_until(lambda: producer.result("same")["result"] == 3)


def test_a_burst_ends_once_nothing_is_left_and_loses_nothing_to_a_killed_neighbour(
    start_worker: StartWorker, r: Any, producer: Producer
) -> None:
    ids = [f"{number}" for number in range(100)]
    r.lpush("jobs", *(job("count_slowly", id, id=id) for id in ids))
    neighbour = start_worker(app="tests.apps.promises:app", lease=1, concurrency=10)
    wait_until(lambda: r.llen("jobs") < 90)
    neighbour.signal(signal.SIGKILL)
    producer.push("echo", id="last")
    burst = start_worker("--burst", app="tests.apps.promises:app", lease=1, ready=False)
    assert burst.wait() == 0
    for id in [*ids, "last"]:
        assert producer.result(id, 0)["status"] == "succeeded"
    assert all(int(r.get(f"runs:{id}") or 0) >= 1 for id in ids)
    producer.wait_idle(0)
