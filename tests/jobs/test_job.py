"""What bytes become a job, and what the others are said to be."""

import base64
import gzip
import json
import pickle
import zlib
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from worker import Malformed
from worker.jobs.job import Job, continued, decode, looks_like_seconds
from worker.jobs.keys import Keys

pytestmark = pytest.mark.once

KEYS = Keys("jobs")
BOM = b"\xef\xbb\xbf"
FIELDS = {"id": "x", "handler": "echo", "reply_to": "replies", "payload": "ü"}
JSON = json.dumps(FIELDS, ensure_ascii=False)


def decoded(raw: bytes) -> Job:
    return decode(raw, KEYS, 10_000)


def refused(raw: bytes) -> Malformed:
    with pytest.raises(Malformed) as caught:
        decoded(raw)
    return caught.value


def with_field(name: str, text: str) -> bytes:
    return f'{{"id":"x","handler":"echo","{name}":{text}}}'.encode()


# -- numbers of other producers ------------------------------------------------------------------


@pytest.mark.parametrize("name", ["enqueued_at", "expires_at", "attempts", "crashes"])
@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("1.7e12", 1_700_000_000_000),
        ("1.7e+12", 1_700_000_000_000),
        ("1.7E12", 1_700_000_000_000),
        ("17e11", 1_700_000_000_000),
        ("1700000000000.0", 1_700_000_000_000),
        ("1700000000000.000", 1_700_000_000_000),
        ("3.0", 3),
        ("0.0", 0),
        ("-0.0", 0),
        ("1e15", 10**15),
    ],
)
def test_a_whole_number_is_an_integer_however_it_is_written(
    name: Any, text: Any, number: Any
) -> None:
    value = getattr(decoded(with_field(name, text)), name)
    assert (type(value), value) == (int, number)


@pytest.mark.parametrize("name", ["enqueued_at", "expires_at", "attempts", "crashes"])
@pytest.mark.parametrize(
    "text", ["1.5", "1700000000000.25", "1e-3", '"5"', '"1.7e12"', "true", "[1]", "{}"]
)
def test_what_is_no_whole_number_is_refused(name: Any, text: Any) -> None:
    assert f"{name} must be an integer" in str(refused(with_field(name, text)))


@pytest.mark.parametrize("name", ["attempts", "crashes"])
def test_a_negative_count_is_refused_as_a_float_too(name: Any) -> None:
    assert f"{name} must be an integer, 0 or more" in str(refused(with_field(name, "-1.0")))


def test_all_four_may_be_floats_at_once_and_other_fields_stay_as_they_are() -> None:
    raw = b'{"id":"x","handler":"h","enqueued_at":1e3,"expires_at":2e3,"attempts":1.0,"crashes":2.0'
    job = decoded(raw + b',"payload":3.0}')
    assert (job.enqueued_at, job.expires_at, job.attempts, job.crashes) == (1000, 2000, 1, 2)
    assert type(job.payload) is float


def test_a_malformed_job_keeps_its_whole_numbers() -> None:
    error = refused(b'{"id":"x","handler":"h","enqueued_at":1.7e12,"attempts":2.0,"config":""}')
    assert (error.enqueued_at, error.attempts) == (1_700_000_000_000, 2)
    assert type(error.enqueued_at) is type(error.attempts) is int


def test_a_job_with_counts_as_floats_goes_on_with_integers() -> None:
    after = continued(with_field("attempts", "1.0"), attempts=2)
    assert after.endswith(b'"attempts":2}')
    assert decoded(after).attempts == 2


@pytest.mark.parametrize(
    ("expires_at", "expected"),
    [
        (None, False),
        (1, False),
        (60, False),
        (978_307_199, False),
        (978_307_200, True),  # 2001-01-01 in seconds
        (1_760_000_000, True),
        (4_102_444_800, True),  # 2100
        (978_307_199_999, True),
        (978_307_200_000, False),  # 2001-01-01 in ms
        (1_760_000_000_000, False),
        (-1_760_000_000, False),
    ],
)
def test_seconds_and_ms_differ_by_the_year_that_they_make(expires_at: Any, expected: Any) -> None:
    assert looks_like_seconds(expires_at) is expected


# -- a byte order mark -----------------------------------------------------------------------------


@pytest.mark.parametrize("raw", [BOM + JSON.encode(), BOM + b" \n" + JSON.encode()])
def test_a_byte_order_mark_is_skipped(raw: Any) -> None:
    job = decoded(raw)
    assert (job.id, job.payload) == ("x", "ü")


def test_a_job_with_a_byte_order_mark_goes_on_without_it() -> None:
    after = continued(BOM + JSON.encode(), attempts=1)
    assert json.loads(after) == {**FIELDS, "attempts": 1}


@pytest.mark.parametrize("raw", [BOM, BOM * 2 + JSON.encode(), BOM * 1000, b"\xef\xbb" + b"{}"])
def test_a_mark_without_a_job_is_malformed(raw: Any) -> None:
    assert "JSON" in str(refused(raw))


def test_the_id_behind_a_byte_order_mark_can_be_read_of_broken_json() -> None:
    assert refused(BOM + JSON.encode()[:-1]).job_id == "x"


# -- other encodings -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("encoding", "name"),
    [
        ("utf-16", "UTF-16"),
        ("utf-16-le", "UTF-16-LE"),
        ("utf-16-be", "UTF-16-BE"),
        ("utf-32", "UTF-32"),
        ("utf-32-le", "UTF-32-LE"),
        ("utf-32-be", "UTF-32-BE"),
    ],
)
@pytest.mark.parametrize("text", [JSON, f" \n{JSON}", json.dumps(FIELDS, indent=2)])
def test_a_job_in_a_wide_encoding_says_which_and_its_producer_is_answered(
    encoding: Any, name: Any, text: Any
) -> None:
    error = refused(text.encode(encoding))
    assert str(error) == f"the job is in {name}; push its JSON in UTF-8"
    assert (error.job_id, error.handler, error.reply_to) == ("x", "echo", "replies")


@pytest.mark.parametrize("times", [2, 3, 4])
def test_a_job_that_was_encoded_twice_says_so_and_its_producer_is_answered(times: Any) -> None:
    raw = JSON
    for _ in range(times - 1):
        raw = json.dumps(raw)
    error = refused(raw.encode())
    assert "must be a JSON object, not a string that holds JSON" in str(error)
    assert "encoded twice" in str(error)
    assert (error.job_id, error.handler, error.reply_to) == ("x", "echo", "replies")


@pytest.mark.parametrize("value", ["text", "", "[1]", '"{"', "{'id': 'x'}", "5", '"' * 99])
def test_a_string_that_holds_no_job_is_a_string(value: Any) -> None:
    error = refused(json.dumps(value).encode())
    assert "not a" in str(error)
    assert "encoded twice" not in str(error)


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_a_pickled_job_says_that_it_is_one_and_is_never_loaded(protocol: Any) -> None:
    class Bomb:
        def __reduce__(self) -> Any:
            return (pytest.fail, ("it was loaded",))

    for value in (FIELDS, Bomb()):
        error = refused(pickle.dumps(value, protocol))
        assert str(error) == "the job is a Python pickle, which is never loaded; push JSON in UTF-8"
        assert error.job_id is None


@pytest.mark.parametrize(
    ("raw", "name"),
    [
        (gzip.compress(JSON.encode(), mtime=0), "compressed"),
        (zlib.compress(JSON.encode()), "compressed"),
        (zlib.compress(JSON.encode(), 9), "compressed"),
        (b"\x28\xb5\x2f\xfd\x24", "compressed"),
        (b"\x82\xa2id\xa1x\xa7handler\xa4echo", "MessagePack"),
        (b"\xde\x00\x10\xa2id", "MessagePack"),
        (str(FIELDS).encode(), "the text of a Python dict"),
        (b"{b'id': b'x'}", "the text of a Python dict"),
        (str(JSON.encode()).encode(), "the text of a Python bytes object"),
        (b'a:2:{s:2:"id";s:1:"x";s:7:"handler";s:4:"echo";}', "PHP's serialize()"),
        (base64.b64encode(JSON.encode()), "base64"),
        (base64.urlsafe_b64encode(JSON.encode()), "base64"),
    ],
)
def test_what_producers_push_by_mistake_is_named(raw: Any, name: Any) -> None:
    assert str(refused(raw)) == f"the job is {name}; push JSON in UTF-8"


@pytest.mark.parametrize(
    "raw", [b"", b"hello", b"\xff", b"\xff\xfe", b"\x00", b"x" * 99, b"e", b"{"]
)
def test_what_has_no_name_is_no_json(raw: Any) -> None:
    assert str(refused(raw)).startswith("not JSON that can be taken: ")


def test_a_job_that_is_too_large_says_so_whatever_its_encoding() -> None:
    for encoding in ("utf-8", "utf-16"):
        raw = JSON.replace("ü", "ü" * 20_000).encode(encoding)
        assert "more than WORKER_MAX_JOB_BYTES (10,000)" in str(refused(raw))


@given(st.binary(max_size=300))
def test_any_bytes_are_a_job_or_malformed(raw: Any) -> None:
    for bytes_ in (raw, BOM + raw, b'"' + raw, raw.hex().encode("utf-16")):
        with suppress(Malformed):
            assert decoded(bytes_).id
