"""`worker push` and `worker result`: what lands in Redis, what is printed, the exit codes."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.support.commands import Command
from tests.support.worker_process import Shared

SETTINGS = {"lease": 1, "backoff_base": 0.01}


def pending(r: Any, queue: str = "jobs") -> list[dict[str, Any]]:
    """The jobs of a queue, oldest first."""
    return [json.loads(raw) for raw in reversed(r.lrange(queue, 0, -1))]


# -- push ------------------------------------------------------------------------------------------


def test_push_enqueues_a_job_and_prints_its_id(command: Command, r: Any) -> None:
    done = command("push", "resize", '{"url": "x"}')
    assert (done.exit_code, done.stderr) == (0, "")
    (job,) = pending(r)
    assert done.stdout == job["id"] + "\n"
    assert (job["handler"], job["payload"]) == ("resize", {"url": "x"})
    assert abs(job["enqueued_at"] - time.time() * 1000) < 10_000
    assert set(job) == {"id", "handler", "payload", "enqueued_at"}


def test_push_needs_no_payload(command: Command, r: Any) -> None:
    assert command("push", "resize").exit_code == 0
    assert pending(r)[0]["payload"] is None


def test_push_takes_the_payload_from_stdin(command: Command, r: Any) -> None:
    assert command("push", "resize", "-", stdin='{"a":\n "ü"}\n').exit_code == 0
    assert pending(r)[0]["payload"] == {"a": "ü"}


def test_push_names_the_config_the_id_and_the_queue(command: Command, r: Any) -> None:
    done = command("push", "resize", "1", "--config", "acme", "--id", "mine", "--queue", "{eu}x")
    assert done.stdout == "mine\n"
    (job,) = pending(r, "{eu}x")
    assert (job["id"], job["config"]) == ("mine", "acme")


def test_push_goes_to_the_first_queue_of_the_settings(command: Command, r: Any) -> None:
    assert command("push", "resize", queue="one,two").exit_code == 0
    assert (len(pending(r, "one")), len(pending(r, "two"))) == (1, 0)


def test_push_with_a_delay_schedules_the_job_on_redis_s_clock(command: Command, r: Any) -> None:
    assert command("push", "resize", "1", "--delay", "60").exit_code == 0
    ((raw, due),) = r.zrange("{jobs}:scheduled", 0, -1, withscores=True)
    assert due - json.loads(raw)["enqueued_at"] == 60_000
    assert r.llen("jobs") == 0


def test_push_makes_a_job_of_each_line(command: Command, r: Any) -> None:
    done = command("push", "resize", "--lines", "--config", "acme", stdin='1\n\n{"a": 2}\r\n"x"')
    jobs = pending(r)
    assert [job["payload"] for job in jobs] == [1, {"a": 2}, "x"]
    assert {job["config"] for job in jobs} == {"acme"}
    assert done.stdout.split() == [job["id"] for job in jobs]


def test_push_delays_lines_too(command: Command, r: Any) -> None:
    assert command("push", "resize", "--lines", "--delay", "60", stdin="1\n1\n").exit_code == 0
    assert r.zcard("{jobs}:scheduled") == 2


def test_push_of_many_lines_keeps_their_order(command: Command, r: Any) -> None:
    done = command("push", "n", "--lines", stdin="\n".join(map(str, range(2500))))
    jobs = pending(r)
    assert [job["payload"] for job in jobs] == list(range(2500))
    assert done.stdout.split() == [job["id"] for job in jobs]


@pytest.mark.parametrize(
    ("arguments", "stdin", "message"),
    [
        (["h", "{"], None, "PAYLOAD is not JSON"),
        (["h", "NaN"], None, "PAYLOAD is not JSON"),
        (["h", "-"], b'"\xff"', "PAYLOAD is not JSON"),
        (["h", "1e400"], None, "a number is beyond what a double can hold"),
        (["h", "--lines"], "1\nx\n", "line 2 is not JSON"),
        (["h", "--lines"], "1\n1e400\n", "line 2: no worker would take the job"),
        (["h", "--lines", "--id", "1"], "1", "leave out --id"),
        (["h", "1", "--lines"], "1", "leave out PAYLOAD"),
        (["", "1"], None, "handler must be a string that is not empty"),
        (["h", "--id", ""], None, "must not be empty"),
        (["h", "--id", "x" * 257], None, "1 to 256 characters"),
        (["h", "--config", ""], None, "to be a DynamoDB key"),
        (["h", "--delay", "-1"], None, "--delay"),
        (["h", "--wait", "soon"], None, "--wait"),
        ([], None, "Missing argument"),
    ],
)
def test_push_refuses_what_no_worker_would_take_and_pushes_nothing(
    command: Command, r: Any, arguments: list[str], stdin: str | None, message: str
) -> None:
    done = command("push", *arguments, stdin=stdin)
    assert done.exit_code == 2
    assert message in done.stderr
    assert done.stdout == ""
    assert r.keys() == []


def test_push_refuses_a_job_too_large_for_the_workers(command: Command, r: Any) -> None:
    done = command("push", "h", '"' + "x" * 1000 + '"', max_job_bytes=500)
    assert done.exit_code == 2
    assert "WORKER_MAX_JOB_BYTES" in done.stderr
    assert r.keys() == []


# -- results ---------------------------------------------------------------------------------------


@pytest.fixture
def shared_command(shared: Shared, tmp_path: Path) -> Command:
    return Command(shared.environment, tmp_path)


def test_push_and_wait_prints_the_result(shared_command: Command) -> None:
    done = shared_command("push", "echo", '"hi"', "--id", "w1", "--wait", "20")
    assert done.exit_code == 0
    assert done.stdout.count("\n") == 1
    result = json.loads(done.stdout)
    assert (result["id"], result["status"]) == ("w1", "succeeded")
    assert result["result"]["payload"] == "hi"
    assert done.stderr == "w1\n"


def test_push_and_wait_tells_that_the_job_failed(shared_command: Command) -> None:
    done = shared_command("push", "reject", '"no"', "--wait", "20")
    assert done.exit_code == 1
    assert json.loads(done.stdout)["error"]["message"] == "no"


def test_push_and_wait_gives_up(shared_command: Command) -> None:
    done = shared_command("push", "nap", "5", "--id", "w2", "--wait", "0.2")
    assert (done.exit_code, done.stdout) == (3, "")
    assert re.search(r"'w2' has no result after 0\.2 s\n$", done.stderr)


def test_push_and_wait_with_an_id_used_before_waits_for_the_new_result(
    shared_command: Command,
) -> None:
    first = shared_command("push", "echo", "1", "--id", "again", "--wait", "20")
    second = shared_command("push", "echo", "2", "--id", "again", "--wait", "20")
    assert json.loads(first.stdout)["result"]["payload"] == 1
    assert json.loads(second.stdout)["result"]["payload"] == 2


def test_push_of_lines_and_wait_prints_the_results_in_order(shared_command: Command) -> None:
    done = shared_command("push", "nap", "--lines", "--wait", "20", stdin="0.2\n0.1\n0\n")
    assert done.exit_code == 0
    assert [json.loads(line)["result"] for line in done.stdout.splitlines()] == [0.2, 0.1, 0]


def test_push_of_lines_and_wait_has_the_exit_code_of_the_worst(shared_command: Command) -> None:
    done = shared_command("push", "typed", "--lines", "--wait", "20", stdin='{"a":1}\n"x"\n')
    assert done.exit_code == 1
    assert len(done.stdout.splitlines()) == 2


def test_result_prints_what_redis_holds_on_one_line(
    shared: Shared, shared_command: Command
) -> None:
    job_id = shared.producer.push("echo", {"text": "a\nb"})
    shared.producer.result(job_id)
    done = shared_command("result", job_id)
    assert done.exit_code == 0
    assert done.stdout == shared.r.get(f"{{jobs}}:result:{job_id}") + "\n"


def test_result_of_a_failed_job_has_exit_code_1(shared: Shared, shared_command: Command) -> None:
    job_id = shared.producer.push("reject", "no")
    shared.producer.result(job_id)
    assert shared_command("result", job_id).exit_code == 1


def test_result_of_an_expired_job_has_exit_code_1(shared: Shared, shared_command: Command) -> None:
    job_id = shared.producer.push("echo", expires_at=1)
    done = shared_command("result", job_id, "--wait", "20")
    assert (done.exit_code, json.loads(done.stdout)["status"]) == (1, "expired")


def test_result_waits_for_a_job_that_is_not_done(shared: Shared, shared_command: Command) -> None:
    job_id = shared.producer.push("nap", 0.5)
    assert shared_command("result", job_id).exit_code == 3
    assert json.loads(shared_command("result", job_id, "--wait", "20").stdout)["result"] == 0.5


def test_a_result_that_is_not_there_has_exit_code_3(command: Command) -> None:
    done = command("result", "nobody")
    assert (done.exit_code, done.stdout) == (3, "")
    assert done.stderr == "worker: job 'nobody' has no result yet\n"


def test_a_result_that_does_not_come_has_exit_code_3(command: Command) -> None:
    done = command("result", "nobody", "--wait", "0.1")
    assert (done.exit_code, done.stderr) == (
        3,
        "worker: job 'nobody' has no result after 0.1 s\n",
    )


def test_result_looks_in_the_queue_that_is_named(command: Command, r: Any) -> None:
    result = {
        "id": "1",
        "handler": "h",
        "status": "succeeded",
        "result": None,
        "error": None,
        "attempts": 1,
        "config": None,
        "worker": "w",
        "enqueued_at": 1,
        "started_at": 1,
        "finished_at": 1,
    }
    r.set("{other}:result:1", json.dumps({**result, "of_a_newer_worker": 1}))
    assert command("result", "1").exit_code == 3
    done = command("result", "1", "--queue", "other")
    assert (done.exit_code, json.loads(done.stdout)) == (0, result)


@pytest.mark.parametrize("seconds", ["inf", "nan", "-inf"])
def test_push_refuses_a_delay_that_is_no_time(command: Command, seconds: str) -> None:
    done = command("push", "resize", "1", "--delay", seconds)
    assert done.exit_code == 2
    assert "--delay" in done.stderr


def test_ids_as_json(command: Command, r: redis.Redis) -> None:
    done = command("push", "h", "-l", "-j", "-q", "other", stdin="1\n2\n")
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    pushed = [json.loads(job)["id"] for job in reversed(r.lrange("other", 0, -1))]
    assert lines == [{"id": job_id, "queue": "other"} for job_id in pushed]
