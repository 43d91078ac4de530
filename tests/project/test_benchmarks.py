"""The benchmark runs, and its table has every row. No time is asserted."""

import subprocess
import sys
from pathlib import Path

import pytest

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
        timeout=100,
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
