"""What a job that waits for its retry says of its last error, and that every worker reads it."""

import json
import re

import pytest

from worker.jobs.failure import failure, last_error
from worker.jobs.job import continued, decode, redriven, retried
from worker.jobs.keys import Keys

pytestmark = pytest.mark.once

KEYS = Keys("jobs")
JOB = b'{"id":"x","handler":"h","payload":"a value","attempts":1,"crashes":1}'
ERROR = last_error(failure("KeyError", "'size'"), 1_700_000_000_000)
# What workers of the first version look for at the end of a job that has outgrown its limit.
OLDER_WORKERS = re.compile(rb'"(?:attempts|crashes)":[1-9][0-9]*} *\Z')


def test_it_has_the_class_the_message_and_the_time() -> None:
    fields = json.loads(retried(JOB, 2, ERROR, 10_000))
    error = {"type": "KeyError", "message": "'size'", "at": 1_700_000_000_000}
    assert fields == {**json.loads(JOB), "attempts": 2, "last_error": error}


def test_the_message_is_cut_to_300_characters() -> None:
    message = last_error(failure("E", "ü" * 1_000), 1)["message"]
    assert message == "ü" * 299 + "…"


@pytest.mark.parametrize("message", ["", '"attempts":3}', "\x00" * 300, "\ud800", "}"])
def test_the_counts_come_last_where_older_workers_look(message: str) -> None:
    after = retried(JOB, 2, last_error(failure("E", message), 1), 10_000)
    for raw in (after, continued(after, crashes=2), retried(after, 3, ERROR, 10_000)):
        assert OLDER_WORKERS.search(raw, len(raw) - 64)
        assert raw.count(b'"last_error"') == 1
        assert decode(raw, KEYS, 10_000).payload == "a value"


def test_the_last_error_replaces_the_one_before_and_a_producer_s_own_field() -> None:
    mine = b'{"id":"x","handler":"h","last_error":"mine"}'
    after = retried(retried(mine, 1, {"type": "First"}, 10_000), 2, ERROR, 10_000)
    assert json.loads(after)["last_error"] == ERROR


def test_a_crash_keeps_it() -> None:
    assert json.loads(continued(retried(JOB, 2, ERROR, 10_000), crashes=2))["last_error"] == ERROR


def test_a_job_that_it_would_make_too_large_goes_without() -> None:
    limit = len(JOB)
    after = retried(retried(JOB, 2, ERROR, 10_000), 3, ERROR, limit)
    assert json.loads(after) == {**json.loads(JOB), "attempts": 3}
    assert decode(after, KEYS, limit).attempts == 3
    assert decode(redriven(after), KEYS, limit).attempts == 0


def test_a_job_that_an_operator_runs_again_begins_without_it() -> None:
    again = json.loads(redriven(retried(JOB, 2, ERROR, 10_000)))
    assert again == {**json.loads(JOB), "attempts": 0, "crashes": 0}
