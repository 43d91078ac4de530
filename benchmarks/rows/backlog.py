"""The row of a queue that has grown very long."""

import json
import time
from collections.abc import Callable, Iterator
from itertools import islice

from benchmarks.figures import Measured, Record
from benchmarks.rows.row import Line, Measurement, Pair, Row, line
from benchmarks.world import make_jobs, push

_FLAT = 1.15  # what counts as flat on a noisy machine: a ratio
_FLAT_MB = 5.0


def _claims(pair: Pair, prepare: Callable[[int], None]) -> Record:
    """How long Redis takes for an exchange (a claim of a hundred, and settling a hundred), and how
    much memory the worker gains meanwhile.
    """
    world = pair.world
    jobs = pair.sizes.jobs // 2
    world.empty()
    prepare(pair.sizes.warm + jobs)
    world.redis.config_resetstat()
    meter = world.metered(world.worker(), warm=pair.sizes.warm, jobs=jobs)
    exchange = world.redis.info("commandstats")["cmdstat_evalsha"]
    world.empty()
    return {
        **meter.figures,
        "exchange_us": exchange["usec_per_call"],
        "resident_mb": meter.resident_mb[1],
        "gained_mb": meter.resident_mb[1] - meter.resident_mb[0],
    }


def _backlog(pair: Pair) -> Iterator[Measurement]:
    world, many = pair.world, pair.sizes.backlog

    def short(jobs: int) -> None:
        push(world, make_jobs(jobs + 1_000))

    def long(jobs: int) -> None:
        push(world, make_jobs(jobs + many))

    def scheduled(jobs: int) -> None:
        due = (time.time() + 86_400) * 1000
        later = (
            json.dumps({"id": f"later-{number}", "handler": "noop", "payload": {"number": 1}})
            for number in range(many)
        )
        while page := dict.fromkeys(islice(later, 1_000), due):
            world.redis.zadd("{jobs}:scheduled", page)
        push(world, make_jobs(jobs + 1_000))

    yield "short", lambda: _claims(pair, short)
    yield "pending", lambda: _claims(pair, long)
    yield "scheduled", lambda: _claims(pair, scheduled)


def _judge(seen: Measured) -> list[Line]:
    lines = []
    for system in ("pending", "scheduled"):
        lines += [
            line(
                f"1,000,000 {system}: claim time flat",
                seen.ratio(system, "short", "exchange_us"),
                "{:.2f} × a short queue's",
                lambda figure: figure <= _FLAT,
            ),
            line(
                f"1,000,000 {system}: the worker's memory flat",
                seen.ratio(
                    system, "short", "resident_mb", combine=lambda ours, short: ours - short
                ),
                "{:+.1f} MB",
                lambda figure: figure <= _FLAT_MB,
            ),
        ]
    return lines


BACKLOG = Row("backlog", "1,000,000 pending jobs; 1,000,000 scheduled", _backlog, _judge)
