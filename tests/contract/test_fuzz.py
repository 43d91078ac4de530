"""Whatever arrives in the list, the worker lives and nothing vanishes."""

import json
from collections import Counter
from functools import partial
from typing import Any

import pytest
import redis

from tests.support import fuzz_config
from tests.support.fuzz import MAX_JOB_BYTES, a_pipeline, buried_bytes, check, fuzz
from tests.support.waiting import wait_until
from tests.support.worker_process import Shared

pytestmark = pytest.mark.once

APP = "tests.apps.promises:app"
# Without a time to live no job waits for a config that does not exist: of two jobs with the same
# bytes that wait, one gets a space at its end.
SETTINGS = {"max_job_bytes": MAX_JOB_BYTES, "max_attempts": 1, "concurrency": 20, "config_ttl": 0}
BATCH = 500


def test_thousands_of_entries_become_a_run_or_an_outcome_with_their_bytes_intact() -> None:
    seen = fuzz(5_000, 1, partial(check, a_pipeline()))
    assert set(seen) == {"run", "bury", "later", "finish"}
    assert min(seen.values()) > 100


def test_thousands_of_entries_through_a_real_worker_end_exactly_once(shared: Shared) -> None:
    entries: list[bytes] = []
    fuzz(3_000, 2, entries.append)
    with redis.Redis(port=shared.redis_server.port) as r:
        told = r.pubsub()
        told.psubscribe("{jobs}:result:*")
        told.get_message(timeout=5)
        for first in range(0, len(entries), BATCH):
            r.delete("{jobs}:dead")
            batch = entries[first : first + BATCH]
            r.lpush("jobs", *batch)
            wait_until(lambda: is_settled(r), 60)
            buried = Counter(buried_bytes(json.loads(e)) for e in r.lrange("{jobs}:dead", 0, -1))
            messages = iter(lambda: told.get_message(timeout=0.1), None)
            results: list[dict[str, Any]] = [json.loads(m["data"]) for m in messages]
            ended = Counter(fields["id"] for fields in results if fields["status"] != "failed")
            assert buried.total() + ended.total() == len(batch)
            for raw, times in Counter(batch).items():
                assert buried[raw] == times or json.loads(raw)["id"] in ended
        told.close()
    assert shared.worker.exit_code is None  # type: ignore[union-attr]
    assert "Traceback" not in shared.worker.log


def is_settled(r: redis.Redis) -> bool:
    return not (r.llen("jobs") or r.zcard("{jobs}:scheduled") or r.keys("{jobs}:active:*"))


@pytest.mark.parametrize(
    ("kind", "fates"),
    [
        ("items", {"succeeded", "config_invalid"}),
        ("replies", {"succeeded", "config_invalid", "config_missing", "postponed"}),
    ],
)
def test_thousands_of_config_items_and_replies_harm_their_own_jobs_alone(
    kind: str, fates: set[str]
) -> None:
    seen = fuzz_config.fuzz(kind, 1_500, 1)
    assert set(seen) == fates
