"""The row of enqueueing many jobs."""

import json
from collections.abc import Iterator
from functools import partial

from benchmarks.figures import Measured, Record
from benchmarks.rows.row import Line, Measurement, Pair, Row, line


def _produced(pair: Pair, what: str) -> Record:
    pair.world.empty()
    command = pair.world.command("benchmarks.produce", what, str(pair.sizes.sent))
    record: Record = json.loads(pair.world.run(command))
    return record


def _many(pair: Pair) -> Iterator[Measurement]:
    yield "worker", partial(_produced, pair, "many")
    yield "bare", partial(_produced, pair, "pipeline")


def _judge(seen: Measured) -> list[Line]:
    return [
        line(
            "jobs/s ≥ 0.6 × a bare redis-py pipeline",
            seen.ratio("worker", "bare", "jobs_per_s"),
            "{:.2f} ×",
            lambda figure: figure >= 0.6,
        )
    ]


ENQUEUE_MANY = Row("enqueue_many", "`Client.enqueue_many`", _many, _judge)
