"""Rows of config look-ups: how many requests they cost, and whether jobs wait for them."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any, Self

from benchmarks.figures import Measured, Record
from benchmarks.rows.row import Line, Measurement, Pair, Row, line
from benchmarks.world import CONFIG_KEYS, make_jobs, push

_HOT_KEYS = 20
_HOT_TTL = 1.0  # seconds
_HOT_DELAY = 0.1  # seconds that each read takes longer, so that waiting for one shows
_HOT_PAUSE = 0.002  # seconds between jobs


def _fresh_ours(pair: Pair) -> Record:
    world, jobs, warm = pair.world, pair.sizes.cold_jobs, pair.sizes.warm
    world.empty()
    push(world, make_jobs(warm + jobs))
    before = world.reads()
    meter = world.metered(world.worker(), warm=warm, jobs=jobs, WORKER_CONFIG_TTL=0)
    # The worker's look at the table when it starts is one read.
    reads = world.reads() - before - 1
    return {**meter.figures, "reads_per_50": 50 * reads / (warm + jobs)}


def _fresh_bare(pair: Pair) -> Record:
    world, jobs = pair.world, pair.sizes.getitem_jobs
    world.empty()
    push(world, make_jobs(200 + jobs))
    command = world.command("benchmarks.bare", "getitem")
    return world.metered(command, warm=200, jobs=jobs).figures


def _fresh(pair: Pair) -> Iterator[Measurement]:
    yield "worker", lambda: _fresh_ours(pair)
    yield "bare", lambda: _fresh_bare(pair)


def _judge_fresh(seen: Measured) -> list[Line]:
    return [
        line(
            "≤ 1.1 DynamoDB requests per 50 jobs",
            seen.of("worker", "reads_per_50"),
            "{:.2f}",
            lambda figure: figure <= 1.1,
        ),
        line(
            "jobs/s ≥ 5 × a bare loop with one GetItem a job",
            seen.ratio("worker", "bare", "jobs_per_s"),
            "{:.1f} ×",
            lambda figure: figure >= 5,
        ),
    ]


def _cold_reads(pair: Pair, order: Callable[[int], int] | None) -> Record:
    world, jobs = pair.world, pair.sizes.cold_jobs
    world.empty()
    push(world, make_jobs(jobs, order=order))
    before = world.reads()
    # The last fifty may still be on their way when the meter stops; their keys have all been read.
    meter = world.metered(world.worker(), warm=1, jobs=jobs - 50)
    return {**meter.figures, "reads": world.reads() - before - 1}


def _cold(pair: Pair) -> Iterator[Measurement]:
    chance = random.Random(pair.number)
    yield "rotation", lambda: _cold_reads(pair, None)
    yield "random", lambda: _cold_reads(pair, lambda _: chance.randrange(CONFIG_KEYS))


def _judge_cold(seen: Measured) -> list[Line]:
    unordered = seen.of("random", "reads")
    beside = f"; {unordered.text('{:.0f}')} in random order" if unordered else ""
    lines = [
        line(
            "≤ 12 requests in rotation",
            seen.of("rotation", "reads"),
            "{:.0f}",
            lambda figure: figure <= 12,
        )
    ]
    return [Line(item.target, item.measured + beside, item.met) for item in lines]


class _Editor:
    """Writes a new edition of one hot item after the other, and notes when each was there."""

    def __init__(self, pair: Pair) -> None:
        self._table = pair.world.table
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._edit)
        self.there_at: dict[str, list[int]] = {f"key-{n}": [] for n in range(_HOT_KEYS)}

    def __enter__(self) -> Self:
        for key in self.there_at:
            self._put(key)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _put(self, key: str) -> None:
        done = self.there_at[key]
        item = {"key": key, "name": key, "limit": 1, "edition": len(done)}
        self._table.put_item(Item=item)
        done.append(time.monotonic_ns())

    def _edit(self) -> None:
        while True:
            for key in self.there_at:
                self._put(key)
                if self._stop.wait(0.01):
                    return


def _hot_ours(pair: Pair) -> Record:
    world = pair.world
    count = int(pair.sizes.hot_seconds / _HOT_PAUSE)
    world.empty()

    def send(first: int, count: int) -> None:
        for number in range(first, first + count):
            key, sent = f'"key-{number % _HOT_KEYS}"', time.monotonic_ns()
            job = f'{{"id":"{number}","handler":"seen","payload":{sent},"config":{key}}}'
            world.redis.lpush("jobs", job)
            time.sleep(_HOT_PAUSE)

    # Those of the first time to live are not what is asked about.
    warm = int(1.5 * _HOT_TTL / _HOT_PAUSE)
    world.slow_reads(_HOT_DELAY)
    try:
        with _Editor(pair) as editor:
            meter = world.metered(
                world.worker(),
                warm=warm,
                jobs=count - warm + 1,
                first=lambda: send(0, 1),
                then=lambda: send(1, count),
                WORKER_CONFIG_TTL=_HOT_TTL,
            )
    finally:
        world.slow_reads(0)
    waited = [note[3] / 1e9 for note in meter.notes]
    return {
        "jobs": len(waited),
        "waited": sum(seconds >= 0.9 * _HOT_DELAY for seconds in waited),
        "longest_ms": max(waited) * 1000,
        "oldest": max(_age(note, editor.there_at) for note in meter.notes),
    }


def _age(note: list[Any], there_at: dict[str, list[int]]) -> float:
    """Return for how many seconds, at least, the edition that a job saw was out of date."""
    key, edition, now, _ = note
    done = there_at[key]
    return (now - done[edition + 1]) / 1e9 if edition + 1 < len(done) else 0.0


def _hot(pair: Pair) -> Iterator[Measurement]:
    yield "worker", lambda: _hot_ours(pair)


def _judge_hot(seen: Measured) -> list[Line]:
    return [
        line(
            f"no job waits (reads take {_HOT_DELAY * 1000:.0f} ms longer here)",
            seen.of("worker", "waited"),
            "{:.0f} jobs waited",
            lambda figure: figure == 0,
        ),
        line(
            f"none starts with config older than the time to live ({_HOT_TTL:g} s)",
            seen.of("worker", "oldest"),
            "out of date for {:.2f} s at most",
            lambda figure: figure <= _HOT_TTL,
        ),
    ]


FRESH = Row(
    "fresh", "the same, config read for every job (`WORKER_CONFIG_TTL=0`)", _fresh, _judge_fresh
)
COLD = Row("cold", "10,000 jobs over 1,000 config keys, cold cache", _cold, _judge_cold)
HOT = Row("hot", "hot keys past their time to live", _hot, _judge_hot, once=True)
