"""A killed worker's jobs run again within one lease plus one heartbeat."""

import json
import signal
import time

from tests.support.jobs import active, dead, job, push, result, wait_settled
from tests.support.waiting import wait_until

APP = "tests.apps.promises:app"
LEASE = 1.0
SETTINGS = {"lease": LEASE}
# What a busy machine may add to what is promised.
TOLERANCE = 1.0


def test_a_killed_workers_jobs_come_back_in_time_at_the_front_with_one_more_crash(
    start_worker, r
) -> None:
    busy = start_worker(app=APP, lease=LEASE, concurrency=1)
    push(r, "keeps-busy", "nap", 60)
    wait_until(lambda: active(r))
    victim = start_worker(app=APP, lease=LEASE, concurrency=3)
    for id in ("a", "b", "c"):
        push(r, id, "nap", 60, attempts=2, mine="stays")
    wait_until(lambda: sorted(map(len, active(r).values())) == [1, 3])
    push(r, "later", "echo")

    victim.signal(signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: r.llen("jobs") == 4)
    assert time.monotonic() - killed < LEASE + LEASE / 3 + TOLERANCE

    back = [json.loads(raw) for raw in reversed(r.lrange("jobs", 0, -1))]
    assert [fields["id"] for fields in back] == ["a", "b", "c", "later"]
    assert [fields["crashes"] for fields in back[:3]] == [1, 1, 1]
    assert [fields["attempts"] for fields in back[:3]] == [2, 2, 2]
    assert back[0] == {**json.loads(job("a", "nap", 60)), "attempts": 2, "mine": "stays"} | {
        "crashes": 1
    }
    assert len(active(r)) == 1
    wait_until(lambda: r.zcard("{jobs}:workers") == 1)
    assert "is dead" in busy.log


def test_a_killed_workers_jobs_run_again(start_worker, r) -> None:
    victim = start_worker(app=APP, lease=LEASE)
    for number in range(20):
        push(r, f"{number}", "wait_first", "/never")
    wait_until(lambda: all(r.get(f"runs:{number}") for number in range(20)))
    start_worker(app=APP, lease=LEASE)
    victim.signal(signal.SIGKILL)
    for number in range(20):
        found = result(r, f"{number}")
        assert (found["status"], found["result"], found["attempts"]) == ("succeeded", "run 2", 1)
    wait_settled(r)
    assert dead(r) == []


def test_a_poison_job_is_buried_and_the_innocent_beside_it_succeed(start_worker, r) -> None:
    for number in range(10):
        push(r, f"before-{number}", "echo")
    push(r, "poison", "poison")
    for number in range(30):
        push(r, f"beside-{number}", "nap", 0.3)
    deaths = 0
    while not dead(r):
        worker = start_worker(app=APP, lease=0.5, concurrency=20)
        wait_until(lambda w=worker: dead(r) or w.process.poll() is not None)
        deaths += worker.process.poll() == -signal.SIGKILL
        assert deaths <= 3
    wait_settled(r)
    assert deaths == 3
    (entry,) = dead(r)
    assert (entry["reason"], entry["attempts"]) == ("crashed", 0)
    assert entry["error"]["type"] == "Crashed"
    assert json.loads(entry["job"]) == {**json.loads(job("poison", "poison")), "crashes": 2}
    assert result(r, "poison")["status"] == "failed"
    names = [f"before-{n}" for n in range(10)] + [f"beside-{n}" for n in range(30)]
    assert {result(r, name)["status"] for name in names} == {"succeeded"}


def test_how_often_a_job_may_crash_is_a_setting(start_worker, r) -> None:
    push(r, "poison", "poison")
    assert start_worker(app=APP, lease=0.5, ready=False, max_crashes=1).wait() == -signal.SIGKILL
    start_worker(app=APP, lease=0.5, max_crashes=1)
    assert wait_until(lambda: dead(r))[0]["reason"] == "crashed"


def test_a_job_one_crash_short_of_burial_runs_while_its_worker_holds_nothing_else(
    start_worker, r
) -> None:
    for number in range(20):
        push(r, f"before-{number}", "nap", 0.4)
    push(r, "suspect", "census", crashes=2)
    for number in range(20):
        push(r, f"after-{number}", "nap", 0.4)
    start_worker(app=APP, concurrency=30, lease=2)
    assert result(r, "suspect")["result"] == [1, 1, 1, 1, 1]
    wait_settled(r)
    assert dead(r) == []


def test_an_undecodable_entry_does_not_stop_the_recovery_of_the_others(shared) -> None:
    r = shared.r
    garbage = [b"\xff\xfe{", b"[]", b"", b'{"id":"half', b'{"id":"no-handler"}']
    with r.pipeline() as together:
        for number, entry in enumerate(garbage):
            together.rpush("{jobs}:active:ghost", entry)
            together.rpush("{jobs}:active:ghost", job(f"good-{number}", "echo"))
        together.zadd("{jobs}:workers", {"ghost": 1})
        together.execute()
    for number in range(len(garbage)):
        assert result(r, f"good-{number}")["result"]["crashes"] == 1
    wait_settled(r)
    assert [entry["reason"] for entry in dead(r)] == ["malformed"] * 5
    wait_until(lambda: r.zscore("{jobs}:workers", "ghost") is None)


def test_an_active_list_without_any_lease_is_found_too(shared) -> None:
    r = shared.r
    r.lpush("{jobs}:active:nobody", job("1", "echo"), job("2", "echo"))
    assert result(r, "1")["result"]["crashes"] == result(r, "2")["result"]["crashes"] == 1
    wait_settled(r)


def test_two_recoverers_at_once_bring_each_job_back_once(start_worker, r) -> None:
    ids = [f"{number}" for number in range(400)]
    r.lpush("{jobs}:active:ghost", *(job(id, "count", id) for id in ids))
    for _ in range(2):
        start_worker(app=APP, lease=LEASE, ready=False)
    for id in ids:
        assert result(r, id)["result"] == 1
    wait_settled(r)
    assert {r.get(f"runs:{id}") for id in ids} == {"1"}


def test_a_job_that_always_blocks_the_loop_for_longer_than_the_lease_ends_as_crashed(
    start_worker, r
) -> None:
    for _ in range(2):
        start_worker(app=APP, lease=0.5, max_crashes=2, ready=False)
    wait_until(lambda: r.zcard("{jobs}:workers") == 2)
    push(r, "blocks", "block", 1.2)
    (entry,) = wait_until(lambda: dead(r))
    assert (entry["reason"], entry["attempts"]) == ("crashed", 0)
    assert result(r, "blocks")["error"]["type"] == "Crashed"
    push(r, "after", "echo")
    assert result(r, "after")["status"] == "succeeded"
    wait_settled(r)
    assert len(dead(r)) == 1
    assert result(r, "blocks")["status"] == "failed"
