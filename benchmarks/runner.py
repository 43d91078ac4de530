"""Runs the rows, pair after pair, and keeps each measurement as a line of JSON."""

import json
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks import against
from benchmarks.figures import Record
from benchmarks.report import facts
from benchmarks.revisions import open_revision, open_this
from benchmarks.rows import ROWS
from benchmarks.rows.row import Measurement, Pair, Sizes
from benchmarks.venvs import Peer, open_peer
from benchmarks.world import Failed, open_world

RUNS = Path(__file__).parent / ".runs"


Keep = Callable[[Record], None]


def run(rows: Iterable[str], peers: Iterable[str], pairs: int, sizes: Sizes) -> list[Record]:
    """Measure these rows. Return the records, the first of which has the circumstances."""
    with _recording() as (records, keep):
        ready = [peer for name in peers if (peer := _open(name, keep))]
        versions = {peer.name: peer.version for peer in ready}
        keep({"row": "facts", **facts(), "peers": versions, "pairs": pairs})
        with open_world() as world:
            for name in rows:
                row = ROWS[name]
                for number in range(1 if row.once else pairs):
                    _measure(name, row.measure(Pair(world, sizes, ready, number)), number, keep)
    return records


def run_against(revision: str, rows: Iterable[str], pairs: int, sizes: Sizes) -> list[Record]:
    """Measure these rows for that revision and for the working tree, in turn."""
    base, this = open_revision(revision), open_this()
    with _recording() as (records, keep):
        keep({"row": "facts", **facts(), "against": base.name, "pairs": pairs})
        with open_world() as world:
            for name in rows:
                for number in range(pairs):
                    pair = Pair(world, sizes, [], number)
                    _measure(name, against.measurements(name, pair, [base, this]), number, keep)
    return records


def _measure(row: str, measurements: Iterable[Measurement], pair: int, keep: Keep) -> None:
    for system, measure in measurements:
        keep({"row": row, "pair": pair, "system": system, **_measured(measure)})


@contextmanager
def _recording() -> Iterator[tuple[list[Record], Keep]]:
    """Collect records, write each to a file of this run at once, and show it on stderr."""
    RUNS.mkdir(exist_ok=True)
    path = RUNS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl"
    records: list[Record] = []
    with path.open("w") as file:

        def keep(record: Record) -> None:
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()
            _show(record)

        yield records, keep


def last_run() -> list[Record]:
    """Return the records of the run before."""
    path = max(RUNS.glob("*.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def _measured(measure: Callable[[], dict[str, Any]]) -> Record:
    began = time.monotonic()
    try:
        figures = measure()
    except Failed as error:
        figures = {"failed": str(error)}
    return {**figures, "took_s": round(time.monotonic() - began, 1)}


def _open(name: str, keep: Keep) -> Peer | None:
    try:
        return open_peer(name)
    except (Failed, OSError) as error:
        keep({"row": "peers", "system": name, "failed": str(error)})
        return None


def _show(record: Record) -> None:
    shown = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in record.items()
    }
    print(json.dumps(shown), file=sys.stderr, flush=True)
