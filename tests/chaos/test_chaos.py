"""A short run of the chaos, in the suite. The long one: `uv run python -m tests.chaos`."""

from pathlib import Path

import pytest

from tests.chaos.__main__ import figures
from tests.chaos.chaos import Run, go
from tests.chaos.plan import plan


@pytest.mark.timeout(180)
def test_no_job_is_lost_or_recorded_twice_while_everything_breaks(
    tmp_path: Path, redis_binary: str | None
) -> None:
    run = Run(seed=7, seconds=20, binary=redis_binary, patience=90)
    report, world = go(run, tmp_path, print)
    print(figures(report, world.tally))  # noqa: T201 - shown where it fails
    assert report.problems == []
    assert (report.lost, report.recorded_twice) == (0, 0)
    assert report.fates["succeeded"] > 100
    assert report.runs >= report.fates["succeeded"]


def test_a_seed_decides_what_breaks_and_when() -> None:
    assert plan(7, 60, 4) == plan(7, 60, 4)
    assert plan(7, 60, 4) != plan(8, 60, 4)
    assert {event.fault for seed in range(20) for event in plan(seed, 600, 4)} >= {
        "killed",
        "stopped",
        "terminated",
        "redis_killed",
        "connections_killed",
        "replies_dropped",
        "delayed",
        "dynamo_stopped",
        "dynamo_slow",
    }
