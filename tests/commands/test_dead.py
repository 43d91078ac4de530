"""`worker dead`: list, retry and drop what was buried."""

import json
from base64 import b64encode
from typing import Any

import pytest
import redis

from tests.support.commands import Command
from tests.support.producer import Producer
from tests.support.table import Table
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker


def entry(job: dict[str, Any] | str, **fields: Any) -> str:
    """An entry of the dead list, as a worker writes it."""
    text = job if isinstance(job, str) else json.dumps(job)
    error = {"type": "ValueError", "message": "no", "traceback": None}
    known = {"job": text, "reason": "failed", "error": error, "attempts": 5, "worker": "w"}
    return json.dumps({**known, "died_at": 1_700_000_000_000, **fields})


def bury(r: redis.Redis, *jobs: dict[str, Any] | str) -> None:
    """Bury them in this order, so that the last is the newest."""
    r.lpush("{jobs}:dead", *map(entry, jobs))


def job(job_id: str, **fields: Any) -> dict[str, Any]:
    return {"id": job_id, "handler": "h", **fields}


def pending(r: redis.Redis, queue: str = "jobs") -> list[dict[str, Any]]:
    """The jobs of a queue, in the order in which they will run."""
    return [json.loads(raw) for raw in reversed(r.lrange(queue, 0, -1))]


# -- list ------------------------------------------------------------------------------------------


def test_list_prints_an_object_a_line_newest_first(command: Command, r: redis.Redis) -> None:
    bury(r, job("old"), job("new"))
    done = command("dead", "list")
    assert (done.exit_code, done.stderr) == (0, "")
    new, old = map(json.loads, done.stdout.splitlines())
    assert (new["id"], old["id"]) == ("new", "old")
    assert old == {
        "queue": "jobs",
        "id": "old",
        "handler": "h",
        **json.loads(entry(job("old"))),
        "problem": None,
    }


def test_list_is_as_long_as_asked(command: Command, r: redis.Redis) -> None:
    bury(r, *(job(str(n)) for n in range(250)))
    assert len(command("dead", "list").stdout.splitlines()) == 250
    newest = command("dead", "list", "--limit", "2", "--json").stdout.splitlines()
    assert [json.loads(line)["id"] for line in newest] == ["249", "248"]


def test_list_says_why_an_entry_can_not_be_put_back(command: Command, r: redis.Redis) -> None:
    bury(r, "garbage", '{"id": "halfway"}')
    r.lpush("{jobs}:dead", "not JSON", '{"job": 5}', "[]", '{"job_base64": "!"}')
    lines = [json.loads(line) for line in command("dead", "list").stdout.splitlines()]
    assert [line["id"] for line in lines] == [None, None, None, None, "halfway", None]
    assert all("no entry" in line["problem"] for line in lines[:4])
    assert "handler must be a string" in lines[4]["problem"]
    assert "not JSON" in lines[5]["problem"]
    assert lines[3]["entry"] == "not JSON"


def test_list_tells_the_queues_apart(command: Command, r: redis.Redis) -> None:
    r.lpush("{a}:dead", entry(job("1")))
    r.lpush("{b}:dead", entry(job("2")))
    lines = [json.loads(line) for line in command("dead", "list", queue="a,b").stdout.splitlines()]
    assert [(line["queue"], line["id"]) for line in lines] == [("a", "1"), ("b", "2")]
    assert '"2"' in command("dead", "list", "--queue", "b").stdout


def test_an_empty_list_prints_nothing(command: Command) -> None:
    done = command("dead", "list")
    assert (done.exit_code, done.stdout) == (0, "")


# -- retry -----------------------------------------------------------------------------------------


def test_retry_puts_a_job_back_at_the_end_with_its_counts_at_0(
    command: Command, r: redis.Redis
) -> None:
    r.lpush("jobs", json.dumps(job("waiting")))
    bury(r, job("1", attempts=5, crashes=2, payload={"a": 1}, mine="kept"), job("other"))
    done = command("dead", "retry", "1")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "jobs: 1 job put back\n", "")
    first, back = pending(r)
    assert first["id"] == "waiting"
    assert back == {**job("1", payload={"a": 1}, mine="kept"), "attempts": 0, "crashes": 0}
    assert [json.loads(raw) for raw in r.lrange("{jobs}:dead", 0, -1)] == [
        json.loads(entry(job("other")))
    ]


def test_a_job_that_died_by_a_fault_since_fixed_succeeds_after_retry(
    command: Command, start_worker: StartWorker, r: redis.Redis, table: Table
) -> None:
    producer = Producer(r)
    start_worker(lease=1, config_ttl=0, config_invalid="bury")
    table.put("narrow", width="x")
    job_id = producer.push("typed", {"a": 1}, config="narrow")
    assert producer.dead_entry(job_id)["reason"] == "config_invalid"
    table.put("narrow", width=3)
    assert command("dead", "retry", job_id).exit_code == 0
    wait_until(lambda: producer.result(job_id)["status"] == "succeeded")
    assert r.llen("{jobs}:dead") == 0


def test_retry_takes_every_entry_of_an_id_oldest_first(command: Command, r: redis.Redis) -> None:
    bury(r, job("1", payload="old"), job("2"), job("1", payload="new"), job("1", payload="new"))
    done = command("dead", "retry", "1")
    assert done.stdout == "jobs: 3 jobs put back\n"
    assert [at["payload"] for at in pending(r)] == ["old", "new", "new"]
    assert r.llen("{jobs}:dead") == 1


def test_retry_reads_a_job_kept_in_base64(command: Command, r: redis.Redis) -> None:
    raw = b64encode(json.dumps(job("1")).encode()).decode()
    r.lpush("{jobs}:dead", json.dumps({"job_base64": raw, "reason": "failed"}))
    assert command("dead", "retry", "1").exit_code == 0
    assert pending(r)[0]["id"] == "1"


def test_retry_of_an_unknown_id_has_exit_code_3_and_does_the_others(
    command: Command, r: redis.Redis
) -> None:
    bury(r, job("1"))
    done = command("dead", "retry", "nobody", "1")
    assert (done.exit_code, done.stdout) == (3, "jobs: 1 job put back\n")
    assert done.stderr == "worker: nobody is not in the dead list of jobs\n"
    assert len(pending(r)) == 1


@pytest.mark.parametrize(
    ("raw", "reason"),
    [
        ('{"id": "1"}', "handler must be a string"),
        ('{"id": "1", "handler": "h"', "not JSON"),
        (
            '{"id": "1", "handler": "h", "payload": 1e400}',
            "a number is beyond what a double can hold",
        ),
    ],
)
def test_retry_refuses_what_is_no_job_and_leaves_it(
    command: Command, r: redis.Redis, raw: str, reason: str
) -> None:
    bury(r, raw)
    before = r.lrange("{jobs}:dead", 0, -1)
    done = command("dead", "retry", "1")
    assert done.exit_code == 1
    assert f"worker: 1 stays dead: it is no job: {reason}" in done.stderr
    assert r.lrange("{jobs}:dead", 0, -1) == before
    assert pending(r) == []


def test_retry_of_bytes_that_are_no_text_is_refused(command: Command, r: redis.Redis) -> None:
    raw = b64encode(b'{"id":"1","handler":"h","payload":"\xff"}').decode()
    r.lpush("{jobs}:dead", json.dumps({"job_base64": raw, "reason": "malformed"}))
    done = command("dead", "retry", "1")
    assert done.exit_code == 1
    assert "1 stays dead" in done.stderr


def test_retry_all_does_what_it_can_and_says_what_it_refused(
    command: Command, r: redis.Redis
) -> None:
    for n in range(150):
        bury(r, "garbage" if n % 3 == 0 else job(str(n)))
    r.lpush("{jobs}:dead", "not JSON")
    done = command("dead", "retry", "--all")
    assert done.exit_code == 1
    assert done.stdout == "jobs: 100 jobs put back\n"
    assert done.stderr.count("an entry without a readable id stays dead") == 20
    assert "31 more are refused" in done.stderr
    assert [int(at["id"]) for at in pending(r)] == [n for n in range(150) if n % 3]
    assert r.llen("{jobs}:dead") == 51


def test_retry_all_of_an_empty_list_is_no_error(command: Command) -> None:
    done = command("dead", "retry", "--all")
    assert (done.exit_code, done.stdout) == (0, "jobs: 0 jobs put back\n")


def test_retry_all_ends_though_the_jobs_die_again(
    command: Command, start_worker: StartWorker, r: redis.Redis
) -> None:
    start_worker(lease=1)
    bury(r, *({"id": str(n), "handler": "reject", "payload": "no"} for n in range(300)))
    assert command("dead", "retry", "--all").stdout == "jobs: 300 jobs put back\n"
    wait_until(lambda: r.llen("{jobs}:dead") == 300)


def test_retry_looks_in_all_queues_of_the_settings(command: Command, r: redis.Redis) -> None:
    r.lpush("{b}:dead", entry(job("1")))
    done = command("dead", "retry", "1", queue="a,b")
    assert (done.exit_code, done.stdout) == (0, "b: 1 job put back\n")
    assert len(pending(r, "b")) == 1


def test_a_job_stays_dead_when_the_queue_can_not_take_it(command: Command, r: redis.Redis) -> None:
    bury(r, job("1"))
    r.set("jobs", "of another type")
    done = command("dead", "retry", "1")
    assert done.exit_code == 1
    assert "WRONGTYPE" in done.stderr
    assert r.llen("{jobs}:dead") == 1


# -- drop ------------------------------------------------------------------------------------------


def test_drop_takes_every_entry_of_an_id_off_the_list(command: Command, r: redis.Redis) -> None:
    bury(r, job("1"), job("2"), job("1"), '{"id": "3"}')
    done = command("dead", "drop", "1", "3")
    assert (done.exit_code, done.stdout, done.stderr) == (0, "jobs: 3 jobs dropped\n", "")
    assert len(r.lrange("{jobs}:dead", 0, -1)) == 1
    assert pending(r) == []


def test_drop_of_an_unknown_id_has_exit_code_3(command: Command) -> None:
    done = command("dead", "drop", "nobody")
    assert (done.exit_code, done.stdout) == (3, "")
    assert "nobody is not in the dead list" in done.stderr


def test_drop_all_empties_the_list(command: Command, r: redis.Redis) -> None:
    bury(r, job("1"), "garbage")
    done = command("dead", "drop", "--all")
    assert (done.exit_code, done.stdout) == (0, "jobs: 2 jobs dropped\n")
    assert r.keys() == []


@pytest.mark.parametrize("verb", ["retry", "drop"])
@pytest.mark.parametrize("chosen", [[], ["1", "--all"]])
def test_either_ids_or_all_must_be_named(
    command: Command, r: redis.Redis, verb: str, chosen: list[str]
) -> None:
    bury(r, job("1"))
    done = command("dead", verb, *chosen)
    assert done.exit_code == 2
    assert "by their ids, or all of them by --all" in done.stderr
    assert r.llen("{jobs}:dead") == 1


def test_what_was_done_as_json(command: Command, r: redis.Redis) -> None:
    for job_id in "ab":
        r.lpush(
            "{jobs}:dead",
            json.dumps({"job": json.dumps({"id": job_id, "handler": "h"}), "reason": "failed"}),
        )
    assert json.loads(command("dead", "retry", "a", "--json").stdout) == {
        "queue": "jobs",
        "put_back": 1,
    }
    assert json.loads(command("dead", "drop", "-a", "-j").stdout) == {"queue": "jobs", "dropped": 1}
