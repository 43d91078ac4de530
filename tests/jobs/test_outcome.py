"""What is sent to Redis of an outcome, byte for byte, and which times a result shows."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import to_json

from worker.jobs.job import Job, decode
from worker.jobs.keys import Keys
from worker.jobs.outcome import (
    Burial,
    StoredResult,
    bury,
    bury_if_alone,
    expire,
    finish,
    later,
    requeue,
)
from worker.jobs.result import (
    CLOCK_NOISE_MS,
    Attempt,
    ErrorInfo,
    JobFacts,
    Result,
    encode_result,
    encode_success,
    in_order,
)

pytestmark = pytest.mark.once

RAW = b'{"id":"x","handler":"echo","reply_to":"replies","enqueued_at":5}'
NOW = 1_760_000_000_000


def job(**fields: object) -> Job:
    raw = json.dumps({"id": "x", "handler": "echo", **fields}).encode()
    return decode(raw, Keys("jobs"), 1_000)


JOB = job(reply_to="replies", enqueued_at=5)
ATTEMPT = Attempt("w", 2, 9, 7, {"key": "k", "version": 1, "stale": False})


# -- the bytes -------------------------------------------------------------------------------------


def test_a_result_has_its_fields_in_the_order_of_the_contract() -> None:
    error = ErrorInfo("E", "m")
    assert encode_result(JOB, ATTEMPT, "succeeded", result=[1]) == (
        b'{"id":"x","handler":"echo","status":"succeeded","result":[1],"error":null,"attempts":2,'
        b'"config":{"key":"k","version":1,"stale":false},"worker":"w","enqueued_at":5,'
        b'"started_at":7,"finished_at":9}'
    )
    assert encode_result(JobFacts("y", None, None), Attempt("w", 0, 9), "failed", error=error) == (
        b'{"id":"y","handler":null,"status":"failed","result":null,'
        b'"error":{"type":"E","message":"m","traceback":null},"attempts":0,"config":null,'
        b'"worker":"w","enqueued_at":null,"started_at":null,"finished_at":9}'
    )


BURIAL = Burial("failed", ErrorInfo("E", "m", "t"), 2, "w", 9)
ENTRY = (
    b'"reason":"failed","error":{"type":"E","message":"m","traceback":"t"},"attempts":2,'
    b'"worker":"w","died_at":9}'
)


@pytest.mark.parametrize(("make", "op"), [(bury, "bury"), (bury_if_alone, "last")])
def test_a_buried_job_has_its_bytes_and_what_happened(make: Any, op: Any) -> None:
    buried = make(b'{"id":1}', BURIAL, StoredResult("x", b"{}", 1_000, "replies"))
    entry = b'{"job":"{\\"id\\":1}",' + ENTRY
    assert buried.arguments == (op, b'{"id":1}', b"{}", 1_000, "replies", entry)
    assert (buried.result_id, buried.reason, buried.status) == ("x", "failed", "failed")


def test_a_buried_job_without_an_id_has_no_result() -> None:
    buried = bury(b"\xff", BURIAL)
    assert buried.arguments == ("bury", b"\xff", b"", 0, "", b'{"job_base64":"/w==",' + ENTRY)
    assert buried.result_id is None


def test_what_becomes_of_the_others() -> None:
    done = finish(RAW, JOB, b"{}", 1_000)
    assert done.arguments == ("finish", RAW, b"{}", 1_000, "replies", b"")
    assert (done.result_id, done.reason, done.status) == ("x", None, "succeeded")
    assert later(RAW, b"next", 1.5).arguments == ("later", RAW, b"", 1_500, "", b"next")
    assert requeue(RAW).arguments == ("front", RAW, b"", 0, "", RAW)
    assert requeue(RAW, b"next").arguments == ("front", RAW, b"", 0, "", b"next")
    for outcome in (later(RAW, RAW, 0), requeue(RAW)):
        assert (outcome.result_id, outcome.reason, outcome.status) == (None, None, None)


# -- a job past its time ---------------------------------------------------------------------------


def expired(expires_at: int) -> Result:
    outcome = expire(RAW, job(expires_at=expires_at), Attempt("w", 0, NOW), 1_000)
    assert (outcome.op, outcome.status) == ("finish", "expired")
    return Result.from_json(outcome.result)


@pytest.mark.parametrize("expires_at", [-5, 0, 1, 60, NOW - 1, NOW])
def test_a_job_past_its_time_has_no_error(expires_at: Any) -> None:
    result = expired(expires_at)
    assert (result.status, result.error, result.result) == ("expired", None, None)


@pytest.mark.parametrize(
    ("expires_at", "date"), [(NOW // 1000, "1970-01-21"), (4_102_444_800, "1970-02-17")]
)
def test_a_job_whose_expiry_is_in_seconds_says_so(expires_at: Any, date: Any) -> None:
    error = expired(expires_at).error
    assert error is not None
    assert (error.type, error.traceback) == ("Expired", None)
    assert f"{expires_at} is {date}" in error.message
    assert "looks like seconds: multiply it by 1000" in error.message


# -- times in order --------------------------------------------------------------------------------

times = st.integers(0, 2**45)


@given(st.none() | times, st.none() | times, times)
def test_no_result_shows_a_negative_wait_or_run(
    enqueued_at: Any, started_at: Any, finished_at: Any
) -> None:
    attempt = Attempt("w", 1, finished_at, started_at)
    fields = json.loads(encode_result(JobFacts("x", "h", enqueued_at), attempt, "succeeded"))
    shown = [fields[name] for name in ("enqueued_at", "started_at", "finished_at")]
    assert [time is None for time in shown] == [enqueued_at is None, started_at is None, False]
    known = [time for time in shown if time is not None]
    assert known == sorted(known)


@given(times, times, times)
def test_times_that_are_in_order_stay(first: Any, second: Any, third: Any) -> None:
    ordered = tuple(sorted((first, second, third)))
    assert in_order(*ordered) == ordered
    assert in_order(None, *ordered[1:]) == (None, *ordered[1:])
    assert in_order(ordered[0], None, ordered[2]) == (ordered[0], None, ordered[2])


@pytest.mark.parametrize("ahead", [1, 2, 50, CLOCK_NOISE_MS])
def test_a_start_a_little_before_its_job_moves_up(ahead: Any) -> None:
    assert in_order(NOW + ahead, NOW, NOW + 5_000) == (NOW + ahead, NOW + ahead, NOW + 5_000)
    assert in_order(NOW + ahead, NOW, NOW) == (NOW + ahead, NOW + ahead, NOW + ahead)
    assert in_order(NOW + ahead, None, NOW) == (NOW + ahead, None, NOW + ahead)


@pytest.mark.parametrize("ahead", [CLOCK_NOISE_MS + 1, 3_600_000, 10**15])
def test_a_time_of_the_future_moves_down_to_the_start(ahead: Any) -> None:
    """No job was enqueued later than it started, and the worker's times are Redis's."""
    assert in_order(NOW + ahead, NOW, NOW + 7) == (NOW, NOW, NOW + 7)
    assert in_order(NOW + ahead, None, NOW) == (NOW, None, NOW)


# -- a result that is read -------------------------------------------------------------------------


def test_fields_that_a_newer_worker_adds_are_left_out() -> None:
    fields = json.loads(encode_result(JOB, ATTEMPT, "failed", error=ErrorInfo("E", "m", "t")))
    read = Result.from_json(json.dumps(fields))
    for part in (fields, fields["error"], fields["config"]):
        part["of_tomorrow"] = 1
    assert Result.from_json(json.dumps(fields)) == read
    assert (read.error, read.id) == (ErrorInfo("E", "m", "t"), "x")


def test_a_result_whose_numbers_were_written_as_floats_has_integers() -> None:
    fields = json.loads(encode_result(JOB, ATTEMPT, "succeeded", result=1.0))
    fields |= {"attempts": 2.0, "enqueued_at": 5.0, "started_at": 7.0, "finished_at": 9.0}
    result = Result.from_json(json.dumps(fields))
    numbers = (result.attempts, result.enqueued_at, result.started_at, result.finished_at)
    assert numbers == (2, 5, 7, 9)
    assert {type(number) for number in numbers} == {int}
    assert type(result.result) is float


@given(
    id=st.text(min_size=1),
    value=st.recursive(
        st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
        max_leaves=5,
    ),
    times=st.tuples(*[st.none() | st.integers(0, 5000)] * 2, st.integers(0, 5000)),
    attempts=st.integers(0, 9),
)
def test_the_quick_way_to_a_result_is_the_same_byte_for_byte(
    id: str, value: Any, times: tuple[int | None, int | None, int], attempts: int
) -> None:
    job = Job()
    job.id, job.handler, job.enqueued_at, job.attempts = id, 'the "handler"', times[0], attempts
    config = {"key": "k\u00e9y", "version": 3, "stale": False}
    attempt = Attempt("worker-1", attempts + 1, times[2], times[1], config)
    quick = encode_success(
        job, to_json(value), to_json(config), to_json("worker-1"), times[1], times[2]
    )
    assert quick == encode_result(job, attempt, "succeeded", result=value)
