"""The benchmark runs, and its table has every row. No time is asserted."""

import statistics
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import profiler
from benchmarks.__main__ import COMPARED
from benchmarks.against import COMPARISONS, noise_of, verdict

pytestmark = pytest.mark.once

ROOT = Path(__file__).parent.parent.parent
ROWS = (
    "throughput",
    "fresh",
    "cold",
    "hot",
    "sleep1ms",
    "pickup",
    "roundtrip",
    "enqueue_many",
    "processes",
    "idle",
    "latency",
    "backlog",
    "payload100k",
    "startup",
)
# Those that start few processes; the others differ in little more than their figures.
RUN = ("throughput", "cold", "roundtrip", "enqueue_many", "payload100k")


def test_a_quick_run_measures_and_its_table_has_every_row() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks", "run", "--quick", "--only", ",".join(RUN)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=250,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    cells = [
        [cell.strip() for cell in line.split("|")]
        for line in done.stdout.splitlines()
        if line.startswith("|")
    ]
    table = {row[1].strip("`"): row[4] for row in cells if len(row) == 7 and row[1]}
    assert set(ROWS) <= set(table)
    assert "failed" not in done.stdout
    assert "not run" in table["sleep1ms"]
    for row in RUN:
        measured = [line[4] for line in cells if line[1].strip("`") == row]
        assert measured
        if row != "throughput":  # its first line compares with a queue that is not run here
            assert "not run" not in measured[0]
    systems = {row[1]: row[3] for row in cells if row[1] in ("worker", "bare")}
    assert systems["worker"] != "not run"
    assert systems["bare"] != "not run"


def test_a_quick_run_against_a_revision_compares_each_figure_within_pairs() -> None:
    command = [sys.executable, "-m", "benchmarks", "run", "--quick", "--against", "HEAD"]
    done = subprocess.run(
        [*command, "--only", "throughput,startup"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=110,
        check=False,
    )
    if "uv venv failed" in done.stderr or "uv pip failed" in done.stderr:
        pytest.skip("packages can't be installed here")
    assert done.returncode == 0, done.stderr
    rows = [
        [cell.strip() for cell in line.split("|")[1:-1]]
        for line in done.stdout.splitlines()
        if line.startswith("| ")
    ]
    assert rows[0][3:] == ["this", "ratio", "noise", "no worse than 3 % beyond its noise"]
    assert [row[1] for row in rows[1:]] == ["jobs/s", "CPU a job, µs", "ready, s", "CPU, s"]
    for row in rows[1:]:
        assert float(row[4]) > 0
        assert row[5:] == ["-", "-"], "one pair shows no noise"


@pytest.mark.parametrize(
    ("ratios", "more", "said"),
    [
        ([1.0] * 5, True, "yes"),
        ([0.98, 0.97, 0.975, 0.98, 0.97], True, "yes"),
        ([0.9, 0.91, 0.9, 0.9, 0.91], True, "**no**"),
        ([1.1, 1.09, 1.1, 1.1, 1.09], True, "yes"),
        ([1.1, 1.09, 1.1, 1.1, 1.09], False, "**no**"),
        ([0.9, 0.91, 0.9, 0.9, 0.91], False, "yes"),
        ([0.8, 1.2, 0.9, 1.3, 0.95], True, "yes"),
        ([0.9], True, "-"),
    ],
)
def test_a_row_is_worse_by_more_than_3_percent_and_the_noise(
    ratios: Any, more: Any, said: Any
) -> None:
    assert verdict(statistics.median(ratios), noise_of(ratios), more=more) == said


def test_the_rows_that_the_command_line_names_are_those_that_are_compared() -> None:
    assert tuple(COMPARISONS) == COMPARED


def test_the_profiler_knows_every_file_by_its_name() -> None:
    ours = [file for _, files in profiler._PARTS for file in files if file.startswith("worker/")]
    assert ours
    assert all((ROOT / file).exists() for file in ours)
