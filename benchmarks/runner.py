"""Runs the rows, pair after pair, and keeps each measurement as a line of JSON."""

import json
import sys
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.figures import Record
from benchmarks.report import facts
from benchmarks.rows import ROWS
from benchmarks.rows.row import Pair, Sizes
from benchmarks.venvs import Peer, open_peer
from benchmarks.world import Failed, open_world

RUNS = Path(__file__).parent / ".runs"


def run(rows: Iterable[str], peers: Iterable[str], pairs: int, sizes: Sizes) -> list[Record]:
    """Measure these rows; gives the records, the first of which tells the circumstances."""
    RUNS.mkdir(exist_ok=True)
    path = RUNS / f"{datetime.now(UTC):%Y%m%dT%H%M%S}.jsonl"
    records: list[Record] = []
    with path.open("w") as file:

        def keep(record: Record) -> None:
            records.append(record)
            file.write(json.dumps(record) + "\n")
            file.flush()
            _tell(record)

        ready = [peer for name in peers if (peer := _open(name, keep))]
        versions = {peer.name: peer.version for peer in ready}
        keep({"row": "facts", **facts(), "peers": versions, "pairs": pairs})
        with open_world() as world:
            for name in rows:
                row = ROWS[name]
                for number in range(1 if row.once else pairs):
                    pair = Pair(world, sizes, ready, number)
                    for system, measure in row.measure(pair):
                        label = {"row": name, "pair": number, "system": system}
                        keep({**label, **_measured(measure)})
    return records


def last_run() -> list[Record]:
    """The records of the run before."""
    path = max(RUNS.glob("*.jsonl"))
    return [json.loads(line) for line in path.read_text().splitlines()]


def _measured(measure: Callable[[], dict[str, Any]]) -> Record:
    began = time.monotonic()
    try:
        figures = measure()
    except Failed as error:
        figures = {"failed": str(error)}
    return {**figures, "took_s": round(time.monotonic() - began, 1)}


def _open(name: str, keep: Callable[[Record], None]) -> Peer | None:
    try:
        return open_peer(name)
    except (Failed, OSError) as error:
        keep({"row": "peers", "system": name, "failed": str(error)})
        return None


def _tell(record: Record) -> None:
    shown = {
        name: round(value, 3) if isinstance(value, float) else value
        for name, value in record.items()
    }
    print(json.dumps(shown), file=sys.stderr, flush=True)
