"""`worker status`: counts and workers, for programs and for people."""

import json
import time

import redis

from tests.support.commands import Command, on_terminal
from tests.support.waiting import wait_until
from tests.support.worker_process import StartWorker


def test_status_of_an_empty_queue_as_json(command: Command) -> None:
    done = command("status", "--json")
    assert (done.exit_code, done.stderr) == (0, "")
    assert json.loads(done.stdout) == {
        "jobs": {"pending": 0, "active": 0, "scheduled": 0, "dead": 0, "workers": []}
    }


def test_status_counts_what_is_where(command: Command, r: redis.Redis) -> None:
    r.lpush("jobs", "1", "2", "3")
    r.zadd("{jobs}:scheduled", {"a": 1, "b": 2})
    r.lpush("{jobs}:dead", "x")
    r.lpush("{jobs}:active:w1", "1", "2", "3", "4")
    r.lpush("{jobs}:active:w0", "5")
    r.zadd("{jobs}:workers", {"w1": (time.time() + 10) * 1000, "w0": 1000})
    state = json.loads(command("status", "--json").stdout)["jobs"]
    assert {name: state[name] for name in ("pending", "active", "scheduled", "dead")} == {
        "pending": 3,
        "active": 5,
        "scheduled": 2,
        "dead": 1,
    }
    dead, live = state["workers"]
    assert dead == {"id": "w0", "live": False, "lease_ends_at": 1000, "lease_ms": 0, "held": 1}
    assert (live["id"], live["live"], live["held"]) == ("w1", True, 4)
    assert 5_000 < live["lease_ms"] <= 10_000


def test_status_shows_a_real_worker_and_what_it_holds(
    command: Command, start_worker: StartWorker, r: redis.Redis
) -> None:
    start_worker(lease=3)
    r.lpush("jobs", *(f'{{"id":"{n}","handler":"nap","payload":5}}' for n in range(3)))
    wait_until(lambda: not r.llen("jobs"))
    state = json.loads(command("status", "--json").stdout)["jobs"]
    (worker,) = state["workers"]
    assert worker["id"] == r.zrange("{jobs}:workers", 0, -1)[0]
    assert (state["active"], worker["held"], worker["live"]) == (3, 3, True)
    assert 0 < worker["lease_ms"] <= 3000


def test_status_tells_of_every_queue_that_is_named(command: Command, r: redis.Redis) -> None:
    r.lpush("{eu}jobs", "1")
    done = command("status", "--json", "--queue", "{eu}jobs", "--queue", "b")
    assert {name: at["pending"] for name, at in json.loads(done.stdout).items()} == {
        "{eu}jobs": 1,
        "b": 0,
    }


def test_status_tells_of_every_queue_of_the_settings(command: Command) -> None:
    assert list(json.loads(command("status", "--json", queue="a,b").stdout)) == ["a", "b"]


def test_in_a_pipe_status_is_the_same_json(command: Command, r: redis.Redis) -> None:
    r.lpush("jobs", "1", "2")
    assert command("status").stdout == command("status", "-j").stdout
    assert json.loads(command("status").stdout)["jobs"]["pending"] == 2


def test_status_for_people(environment: dict[str, str], r: redis.Redis) -> None:
    r.lpush("jobs", "1", "2")
    r.zadd("{jobs}:workers", {"a-long-host-name." * 4: 1000, "[red]w[/red]\x1b[31m": 1})
    lines = [line.split() for line in on_terminal(environment, "status").splitlines()]
    assert lines[0] == ["Queue", "Pending", "Active", "Scheduled", "Dead"]
    assert lines[1] == ["jobs", "2", "0", "0", "0"]
    assert ["jobs", "a-long-host-name." * 4, "ended", "0"] in lines
    assert ["jobs", r"[red]w[/red]\x1b[31m", "ended", "0"] in lines


def test_status_says_when_no_worker_is_running(environment: dict[str, str]) -> None:
    assert "No worker is running." in on_terminal(environment, "status")


def test_a_queue_name_that_cannot_be_one_is_refused(command: Command) -> None:
    done = command("status", "--queue", "{x")
    assert done.exit_code == 1
    assert "can't be a queue's name" in done.stderr
