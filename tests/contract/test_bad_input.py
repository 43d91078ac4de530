"""Section 7 of the contract: whatever arrives in the list, nothing vanishes and nobody waits."""

import base64
import json
import time
from typing import Any

import pytest
import redis

from tests.apps.odd import app as odd_app
from tests.support.producer import Producer
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import Shared, StartWorker

APP = "tests.apps.odd:app"
IN_PROCESS = True
SETTINGS = {"max_attempts": 2, "backoff_base": 0.01, "backoff_max": 0.02}

MIB = 1024 * 1024
ENTRY = {"reason", "error", "attempts", "worker", "died_at"}


def job(**fields: object) -> bytes:
    return json.dumps({"id": "x", "handler": "echo", **fields}).encode()


def raw_job(fields: bytes) -> bytes:
    return b'{"id":"x","handler":"echo",' + fields + b"}"


def bury(shared: Shared, raw: bytes) -> tuple[dict[str, Any], bytes]:
    """Push bytes that are to be buried; gives the entry and the bytes that it holds."""
    shared.r.delete("{jobs}:dead", "{jobs}:result:x")
    shared.r.lpush("jobs", raw)
    (entry,) = wait_until(shared.producer.dead)
    assert shared.producer.active() == []
    assert shared.r.llen("jobs") == 0
    if "job_base64" in entry:
        assert set(entry) == {"job_base64", *ENTRY}
        return entry, base64.b64decode(entry["job_base64"], validate=True)
    assert set(entry) == {"job", *ENTRY}
    return entry, entry["job"].encode()


# What is pushed; a part of the message; whether its id can be read.
MALFORMED = {
    "nothing": (b"", "JSON", False),
    "white space": (b"  \n", "JSON", False),
    "no JSON": (b"hello", "JSON", False),
    "JSON cut short": (b'{"id":"x","handler":"echo"', "JSON", True),
    "two documents": (b'{"id":"x","handler":"echo"}{}', "JSON", True),
    "single quotes": (b"{'id':'x'}", "JSON", False),
    "an array": (b"[1]", "an array", False),
    "a string": (b'"x"', "a string", False),
    "a number": (b"5", "a number", False),
    "null": (b"null", "null", False),
    "no id": (b'{"handler":"echo"}', "id must be a string", False),
    "id is a number": (job(id=5), "id must be a string, not a number", False),
    "id is null": (job(id=None), "id must be a string", False),
    "id is empty": (job(id=""), "id must have 1 to 256 characters", False),
    "id has 257 characters": (job(id="x" * 257), "id must have 1 to 256 characters", False),
    "no handler": (b'{"id":"x"}', "handler must be a string", True),
    "handler is a list": (job(handler=["echo"]), "handler must be a string", True),
    "config is a number": (job(config=7), "config must be a string", True),
    "config is empty": (job(config=""), "2,048", True),
    "config has 2,049 bytes": (job(config="k" * 2049), "2,048", True),
    "config has 2,049 bytes in fewer characters": (job(config="ü" * 1024 + "k"), "2,048", True),
    "reply_to is a number": (job(reply_to=1), "reply_to must be a string", True),
    "reply_to is empty": (job(reply_to=""), "reply_to must be a string", True),
    "reply_to is the queue": (job(reply_to="jobs"), "the queue's own keys", True),
    "reply_to is the dead list": (job(reply_to="{jobs}:dead"), "the queue's own keys", True),
    "reply_to is a result": (job(reply_to="{jobs}:result:y"), "the queue's own keys", True),
    "traceparent is an object": (job(traceparent={}), "traceparent must be a string", True),
    "enqueued_at is text": (job(enqueued_at="now"), "enqueued_at must be an integer", True),
    "expires_at is a fraction": (job(expires_at=1.5), "expires_at must be an integer", True),
    "expires_at is a boolean": (job(expires_at=True), "expires_at must be an integer", True),
    "attempts is text": (job(attempts="1"), "attempts must be an integer", True),
    "attempts is empty text": (job(attempts=""), "attempts must be an integer", True),
    "attempts is false": (job(attempts=False), "attempts must be an integer", True),
    "attempts is negative": (job(attempts=-1), "attempts must be an integer", True),
    "crashes is a list": (job(crashes=[]), "crashes must be an integer", True),
    "not UTF-8": (raw_job(b'"payload":"\xff\xfe"'), "JSON", True),
    "not UTF-8 at all": (bytes(range(128, 256)), "JSON", False),
    "half a character": (raw_job(rb'"payload":"\ud800"'), "JSON", True),
    "half a character as id": (rb'{"id":"\ud800","handler":"echo"}', "JSON", False),
    "a thousand deep": (
        raw_job(b'"payload":' + b"[" * 1000 + b"]" * 1000),
        "recursion limit",
        True,
    ),
    "a thousand deep before the id": (
        b'{"payload":' + b'{"a":' * 1000 + b"1" + b"}" * 1000 + b',"id":"x","handler":"echo"}',
        "recursion limit",
        True,
    ),
    "NaN": (raw_job(b'"payload":NaN'), "JSON", True),
    "minus infinity": (raw_job(b'"payload":[-Infinity]'), "JSON", True),
    "1e400": (raw_job(b'"payload":[{"a":1e400}]'), "beyond what a double can hold", True),
    "-1e400": (raw_job(b'"payload":-1e400'), "beyond what a double can hold", True),
    "1e400 in an unknown field": (raw_job(b'"more":1e400'), "beyond", True),
    "an integer of 400 digits": (raw_job(b'"payload":' + b"9" * 400), "beyond", True),
    "a negative integer of 310 digits": (
        raw_job(b'"payload":[-' + b"9" * 310 + b"]"),
        "beyond",
        True,
    ),
    "an integer of 5,000 digits": (raw_job(b'"payload":' + b"9" * 5000), "", True),
    "one byte too many": (
        raw_job(b'"payload":"' + b"p" * (MIB - 39) + b'"'),
        "WORKER_MAX_JOB_BYTES (1,048,576)",
        True,
    ),
    "3 MiB": (raw_job(b'"payload":"' + b"p" * 3 * MIB + b'"'), "WORKER_MAX_JOB_BYTES", True),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_what_is_no_job_is_buried_as_malformed_with_its_bytes_intact(
    shared: Shared, name: Any
) -> None:
    raw, message, has_id = MALFORMED[name]
    entry, kept = bury(shared, raw)
    assert kept == raw
    assert entry["reason"] == "malformed"
    assert entry["error"]["type"] == "Malformed"
    assert entry["error"]["traceback"] is None
    assert message in entry["error"]["message"]
    assert entry["attempts"] == 0
    assert entry["worker"] in shared.worker.log
    assert abs(entry["died_at"] - time.time() * 1000) < 5_000
    if has_id:
        result = shared.producer.result("x", timeout=0)
        assert (result["status"], result["error"]) == ("failed", entry["error"])
        assert 0 < shared.r.pttl("{jobs}:result:x") <= 86_400_000
    else:
        assert not shared.r.keys("{jobs}:result:*")


@pytest.mark.parametrize(
    "wrong",
    [b'"config":""', b'"payload":NaN', b'"payload":"\xff"', b'"payload":"' + b"p" * MIB + b'"'],
)
def test_the_producer_of_a_malformed_job_gets_its_result_at_reply_to_as_well(
    shared: Shared, wrong: Any
) -> None:
    shared.r.delete("replies")
    bury(shared, raw_job(b'"reply_to":"replies",' + wrong))
    assert shared.r.lrange("replies", 0, -1) == [shared.r.get("{jobs}:result:x")]


def test_a_malformed_job_keeps_what_could_be_read_of_it(shared: Shared) -> None:
    entry, _ = bury(shared, job(config="", attempts=2, enqueued_at=1234))
    result = shared.producer.result("x", timeout=0)
    assert entry["attempts"] == result["attempts"] == 2
    assert (result["handler"], result["enqueued_at"]) == ("echo", 1234)
    assert (result["config"], result["started_at"]) == (None, None)


def test_bytes_that_are_no_text_stand_as_base64(shared: Shared) -> None:
    entry, _ = bury(shared, b"\xff")
    assert entry["job_base64"] == "/w=="


FINE = {
    "an id of 256 characters": job(id="ü" * 256),
    "white space around": b" \n" + job(id="ws") + b"\t ",
    "escapes": rb'{"id":"esc\"\\\u00fc\ud83d\ude00\u0000","handler":"ech\u006f"}',
    "null for what is optional": job(id="n", config=None, reply_to=None, attempts=None),
    "nested a hundred deep": b'{"id":"d","handler":"echo","payload":'
    + b"[" * 100
    + b"]" * 100
    + b"}",
    "1e308": raw_job(b'"payload":[1e308,-1.7976931348623157e308,5e-324,1e-400]'),
    "an integer of 300 digits": raw_job(b'"payload":' + b"9" * 300),
    "a fraction of 400 digits": raw_job(b'"payload":0.' + b"3" * 400),
    "400 digits in a string": raw_job(b'"payload":"' + b"9" * 400 + b'"'),
    "exactly 1 MiB": raw_job(b'"payload":"' + b"p" * (MIB - 40) + b'"'),
}


@pytest.mark.parametrize("name", FINE)
def test_what_is_at_the_edge_of_a_job_runs(shared: Shared, name: Any) -> None:
    raw = FINE[name]
    job_id = json.loads(raw)["id"]
    shared.r.delete("{jobs}:result:x")
    shared.r.lpush("jobs", raw)
    result = shared.producer.result(job_id)
    assert result["status"] == "succeeded"
    assert result["result"] == json.loads(raw).get("payload")


def test_a_payload_of_another_type_is_payload_invalid_and_spends_no_attempt(shared: Shared) -> None:
    result = shared.producer.run("typed", {"a": 1, "b": "hunter2"})
    entry = shared.producer.dead_entry(result["id"])
    assert entry["reason"] == "payload_invalid"
    assert entry["attempts"] == result["attempts"] == 0
    assert entry["error"] == result["error"]
    assert entry["error"]["message"].startswith("b: ")
    assert "hunter2" not in entry["error"]["message"]


def test_an_unknown_handler_is_a_failed_attempt_retried_and_then_buried(shared: Shared) -> None:
    result = shared.producer.run("nobody")
    entry = shared.producer.dead_entry(result["id"])
    assert entry["reason"] == "unknown_handler"
    assert "'nobody'" in entry["error"]["message"]
    assert json.loads(entry["job"])["attempts"] == 1
    assert entry["attempts"] == result["attempts"] == 2
    assert result["handler"] == "nobody"


def test_a_newer_deploy_runs_what_an_older_one_did_not_know(
    start_worker: StartWorker, producer: Producer, r: redis.Redis
) -> None:
    old = start_worker(app="tests.apps.odd:app", backoff_base=0.01, backoff_max=0.02)
    assert "nap" not in odd_app.handlers
    job_id = producer.push("nap", 0, attempts=0)
    wait_until(lambda: "failed attempt 1" in old.log)
    assert old.stop() == 0
    assert not r.exists(f"{{jobs}}:result:{job_id}")
    start_worker(app="tests.apps.basic:app")
    assert producer.result(job_id)["status"] == "succeeded"


@pytest.mark.parametrize(
    "what",
    [
        "an object",
        "NaN",
        "minus infinity, deep down",
        "a ring",
        "bytes that are no text",
        "half a character",
        "a coroutine function",
        "depth",
    ],
)
def test_a_result_without_json_is_result_invalid(shared: Shared, what: Any) -> None:
    result = shared.producer.run("gives", what)
    entry = shared.producer.dead_entry(result["id"])
    assert entry["reason"] == "result_invalid"
    assert entry["attempts"] == result["attempts"] == 1
    assert result["status"] == "failed"
    assert result["result"] is None


@pytest.mark.parametrize("handler", ["raises", "raises_in_thread"])
@pytest.mark.parametrize("what", ["exit", "unreadable", "half a character", "long", "stop"])
def test_whatever_a_handler_raises_is_a_failed_attempt(
    shared: Shared, handler: Any, what: Any
) -> None:
    shared.table.put(handler, policy={"max_attempts": 1})
    result = shared.producer.run(handler, what)
    assert (result["status"], result["attempts"]) == ("failed", 1)
    assert len(json.dumps(result["error"])) < 20_000
    assert shared.producer.dead_entry(result["id"])["reason"] == "failed"


def test_a_job_past_its_time_is_not_buried(shared: Shared) -> None:
    result = shared.producer.run("echo", expires_at=1)
    assert (result["status"], result["error"]) == ("expired", None)
    assert not any(result["id"] in entry.get("job", "") for entry in shared.producer.dead())


@pytest.mark.parametrize(
    "unfinished",
    [
        b'{"id":"x","a":"' + b'\\"' * 120_000,
        b'{"id":"x","a":"' + b"\\" * 240_001,
        b'{"id":"x",' + b'"a":' * 50_000,
        b'{"' * 100_000,
        b"{" + b":" * 500_000,
    ],
    ids=["escaped quotes", "escapes", "names", "opened strings", "colons"],
)
def test_no_input_is_slow_to_refuse(shared: Shared, unfinished: Any) -> None:
    before = time.monotonic()
    entry, _ = bury(shared, unfinished)
    assert entry["reason"] == "malformed"
    assert time.monotonic() - before < 1 + tolerance()
    assert "event loop has been blocked" not in shared.worker.log


def test_bad_jobs_leave_the_jobs_beside_them_alone(shared: Shared) -> None:
    shared.r.delete("{jobs}:dead")
    good = []
    with shared.r.pipeline() as pipe:
        for number, (raw, _, _) in enumerate(MALFORMED.values()):
            if len(raw) < 10_000:
                pipe.lpush("jobs", raw)
            good.append(f"good-{number}")
            pipe.lpush("jobs", job(id=good[-1], payload=number))
        pipe.execute()
    assert [shared.producer.result(job_id)["result"] for job_id in good] == list(range(len(good)))
    shared.producer.wait_idle()
    buried = {entry.get("job") for entry in shared.producer.dead()}
    assert len(buried) == sum(len(raw) < 10_000 for raw, _, _ in MALFORMED.values()) - 1
