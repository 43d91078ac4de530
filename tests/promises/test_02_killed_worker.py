"""A killed worker's jobs run again within one lease plus one heartbeat."""

import json
import signal
import time

import redis

from tests.support.producer import Producer, job
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import Shared, StartWorker

APP = "tests.apps.promises:app"
LEASE = 1.0
SETTINGS = {"lease": LEASE}


def test_a_killed_workers_jobs_come_back_in_time_at_the_front_with_one_more_crash(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    busy = start_worker(app=APP, lease=LEASE, concurrency=1)
    producer.push("nap", 60, id="keeps-busy")
    wait_until(producer.active)
    victim = start_worker(app=APP, lease=LEASE, concurrency=3)
    for id in ("a", "b", "c"):
        producer.push("nap", 60, id=id, attempts=2, mine="stays")
    wait_until(lambda: sorted(map(len, producer.active_by_worker().values())) == [1, 3])
    producer.push("echo", id="later")

    victim.signal(signal.SIGKILL)
    killed = time.monotonic()
    wait_until(lambda: r.llen("jobs") == 4)
    assert time.monotonic() - killed < LEASE + LEASE / 3 + tolerance()

    back = [json.loads(raw) for raw in reversed(r.lrange("jobs", 0, -1))]
    assert [fields["id"] for fields in back] == ["a", "b", "c", "later"]
    assert [fields["crashes"] for fields in back[:3]] == [1, 1, 1]
    assert [fields["attempts"] for fields in back[:3]] == [2, 2, 2]
    assert back[0] == {**json.loads(job("nap", 60, id="a")), "attempts": 2, "mine": "stays"} | {
        "crashes": 1
    }
    assert len(producer.active_by_worker()) == 1
    wait_until(lambda: r.zcard("{jobs}:workers") == 1)
    assert "is dead" in busy.log


def test_a_killed_workers_jobs_run_again(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    victim = start_worker(app=APP, lease=LEASE)
    for number in range(20):
        producer.push("wait_first", "/never", id=f"{number}")
    wait_until(lambda: all(r.get(f"runs:{number}") for number in range(20)))
    start_worker(app=APP, lease=LEASE)
    victim.signal(signal.SIGKILL)
    for number in range(20):
        found = producer.result(f"{number}")
        assert (found["status"], found["result"], found["attempts"]) == ("succeeded", "run 2", 1)
    producer.wait_idle()
    assert producer.dead() == []


def test_a_poison_job_is_buried_and_the_innocent_beside_it_succeed(
    start_worker: StartWorker, producer: Producer
) -> None:
    for number in range(10):
        producer.push("echo", id=f"before-{number}")
    producer.push("poison", id="poison")
    for number in range(30):
        producer.push("nap", 0.3, id=f"beside-{number}")
    deaths = 0
    while not producer.dead():
        worker = start_worker(app=APP, lease=0.5, concurrency=20)
        wait_until(lambda w=worker: producer.dead() or w.exit_code is not None)
        deaths += worker.exit_code == -signal.SIGKILL
        assert deaths <= 3
    producer.wait_idle()
    assert deaths == 3
    (entry,) = producer.dead()
    assert (entry["reason"], entry["attempts"]) == ("crashed", 0)
    assert entry["error"]["type"] == "Crashed"
    assert json.loads(entry["job"]) == {**json.loads(job("poison", id="poison")), "crashes": 2}
    assert producer.result("poison")["status"] == "failed"
    names = [f"before-{n}" for n in range(10)] + [f"beside-{n}" for n in range(30)]
    assert {producer.result(name)["status"] for name in names} == {"succeeded"}


def test_how_often_a_job_may_crash_is_a_setting(
    start_worker: StartWorker, producer: Producer
) -> None:
    producer.push("poison", id="poison")
    assert start_worker(app=APP, lease=0.5, ready=False, max_crashes=1).wait() == -signal.SIGKILL
    start_worker(app=APP, lease=0.5, max_crashes=1)
    assert wait_until(producer.dead)[0]["reason"] == "crashed"


def test_a_job_one_crash_short_of_burial_runs_while_its_worker_holds_nothing_else(
    start_worker: StartWorker, producer: Producer
) -> None:
    for number in range(20):
        producer.push("nap", 0.4, id=f"before-{number}")
    producer.push("census", id="suspect", crashes=2)
    for number in range(20):
        producer.push("nap", 0.4, id=f"after-{number}")
    start_worker(app=APP, concurrency=30, lease=2)
    assert producer.result("suspect")["result"] == [1, 1, 1, 1, 1]
    producer.wait_idle()
    assert producer.dead() == []


def test_an_undecodable_entry_does_not_stop_the_recovery_of_the_others(shared: Shared) -> None:
    r, producer = shared.r, shared.producer
    garbage = [b"\xff\xfe{", b"[]", b"", b'{"id":"half', b'{"id":"no-handler"}']
    with r.pipeline() as together:
        for number, entry in enumerate(garbage):
            together.rpush("{jobs}:active:ghost", entry)
            together.rpush("{jobs}:active:ghost", job("echo", id=f"good-{number}"))
        together.zadd("{jobs}:workers", {"ghost": 1})
        together.execute()
    for number in range(len(garbage)):
        assert producer.result(f"good-{number}")["result"]["crashes"] == 1
    producer.wait_idle()
    assert [entry["reason"] for entry in producer.dead()] == ["malformed"] * 5
    wait_until(lambda: r.zscore("{jobs}:workers", "ghost") is None)


def test_an_active_list_without_any_lease_is_found_too(shared: Shared) -> None:
    r, producer = shared.r, shared.producer
    r.lpush("{jobs}:active:nobody", job("echo", id="1"), job("echo", id="2"))
    assert (
        producer.result("1")["result"]["crashes"] == producer.result("2")["result"]["crashes"] == 1
    )
    producer.wait_idle()


def test_two_recoverers_at_once_bring_each_job_back_once(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    ids = [f"{number}" for number in range(400)]
    r.lpush("{jobs}:active:ghost", *(job("count", id, id=id) for id in ids))
    for _ in range(2):
        start_worker(app=APP, lease=LEASE, ready=False)
    for id in ids:
        assert producer.result(id)["result"] == 1
    producer.wait_idle()
    assert {r.get(f"runs:{id}") for id in ids} == {"1"}


def test_a_job_that_always_blocks_the_loop_for_longer_than_the_lease_ends_as_crashed(
    start_worker: StartWorker, r: redis.Redis, producer: Producer
) -> None:
    for _ in range(2):
        start_worker(app=APP, lease=0.5, max_crashes=2, ready=False)
    wait_until(lambda: r.zcard("{jobs}:workers") == 2)
    producer.push("block", 1.2, id="blocks")
    (entry,) = wait_until(producer.dead)
    assert (entry["reason"], entry["attempts"]) == ("crashed", 0)
    assert producer.result("blocks")["error"]["type"] == "Crashed"
    producer.push("echo", id="after")
    assert producer.result("after")["status"] == "succeeded"
    producer.wait_idle()
    assert len(producer.dead()) == 1
    assert producer.result("blocks")["status"] == "failed"
