"""Rows of jobs a second: no-op jobs, jobs that wait, large payloads, several processes."""

import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from benchmarks.figures import Measured
from benchmarks.rows.row import Line, Measurement, Pair, Row, line
from benchmarks.venvs import Peer
from benchmarks.world import CONFIG_KEYS, World, cpu_seconds, make_jobs, push, wait_for

_LINEAR = 0.85 * 4  # within 15 % of four times as many
_FULL = 0.9  # of a core
_LARGE = {"number": 1, "text": "x" * 100_000}


def ours(pair: Pair, handler: str, jobs: int, **variables: object) -> dict[str, Any]:
    """Our worker on a backlog, with config for each job."""
    world, warm = pair.world, pair.sizes.warm
    world.empty()
    push(world, make_jobs(warm + jobs, handler))
    return world.metered(world.worker(), warm=warm, jobs=jobs, **variables).figures


def bare(pair: Pair, jobs: int) -> dict[str, Any]:
    """The bare loop on the same backlog."""
    world, warm = pair.world, pair.sizes.warm
    world.empty()
    push(world, make_jobs(warm + jobs))
    command = world.command("benchmarks.bare", "loop")
    return world.metered(command, warm=warm, jobs=jobs).figures


def peer_jobs(pair: Pair, peer: Peer, handler: str) -> dict[str, Any]:
    """Another queue on a backlog that its own producer made."""
    world, sizes = pair.world, pair.sizes
    world.empty()
    world.run(peer.command("fill", str(sizes.peer_warm + sizes.peer_jobs), handler))
    command = peer.command("worker")
    return world.metered(command, warm=sizes.peer_warm, jobs=sizes.peer_jobs).figures


def _noop(pair: Pair) -> Iterator[Measurement]:
    yield "worker", lambda: ours(pair, "noop", pair.sizes.jobs)
    yield "bare", lambda: bare(pair, pair.sizes.jobs)
    for peer in pair.peers:
        # SAQ is the one to beat; the others need no more than three figures.
        if peer.name == "saq" or pair.number % 2 == 0:
            yield peer.name, partial(peer_jobs, pair, peer, "noop")


def _judge_noop(seen: Measured) -> list[Line]:
    return [
        line(
            "jobs/s ≥ 12 × SAQ",
            seen.ratio("worker", "saq", "jobs_per_s"),
            "{:.1f} ×",
            _at_least(12),
        ),
        line(
            "jobs/s ≥ 0.7 × bare loop",
            seen.ratio("worker", "bare", "jobs_per_s"),
            "{:.2f} ×",
            _at_least(0.7),
        ),
        line(
            "CPU a job ≤ 1.7 × bare loop",
            seen.ratio("worker", "bare", "cpu_us"),
            "{:.2f} ×",
            _at_most(1.7),
        ),
    ]


def _sleep(pair: Pair) -> Iterator[Measurement]:
    yield "worker", lambda: ours(pair, "sleep1ms", pair.sizes.jobs)
    for peer in pair.peers:
        if peer.name == "saq":
            yield peer.name, partial(peer_jobs, pair, peer, "sleep1ms")


def _judge_sleep(seen: Measured) -> list[Line]:
    ratio = seen.ratio("worker", "saq", "jobs_per_s")
    return [line("jobs/s ≥ 10 × SAQ", ratio, "{:.1f} ×", _at_least(10))]


def _payload(pair: Pair) -> Iterator[Measurement]:
    # All config keys have been read when it counts.
    jobs, warm = pair.sizes.big_jobs, min(CONFIG_KEYS, pair.sizes.warm)

    def large(command: list[str]) -> dict[str, Any]:
        pair.world.empty()
        push(pair.world, make_jobs(jobs + warm, payload=_LARGE), page=50)
        return pair.world.metered(command, warm=warm, jobs=jobs).figures

    yield "worker", lambda: large(pair.world.worker())
    yield "bare", lambda: large(pair.world.command("benchmarks.bare", "loop"))


def _judge_payload(seen: Measured) -> list[Line]:
    ratio = seen.ratio("worker", "bare", "jobs_per_s")
    return [line("jobs/s ≥ 0.7 × bare loop", ratio, "{:.2f} ×", _at_least(0.7))]


def drained(
    world: World, jobs: int, processes: int = 1, *, handler: str = "noop", **variables: object
) -> dict[str, Any]:
    """Jobs a second seen from outside, between a tenth and nine tenths of the backlog, and how much
    of a core the workers and Redis took meanwhile. The backlog appears when all are ready; there
    are few config keys, so that each process has read them all by then.
    """
    world.empty()
    push(world, make_jobs(jobs, handler, config_keys=10), queue="staged")
    with world.running(world.worker("--processes", str(processes)), **variables) as child:
        wait_for(lambda: world.redis.zcard("{jobs}:workers") == processes, child)
        world.redis.rename("staged", "jobs")
        wait_for(lambda: world.redis.llen("jobs") <= 0.9 * jobs, child)
        began = _moment(world, child.pid)
        wait_for(lambda: world.redis.llen("jobs") <= 0.1 * jobs, child)
        ended = _moment(world, child.pid)
    count, seconds, workers, redis = (b - a for a, b in zip(began, ended, strict=True))
    return {
        "jobs_per_s": count / seconds,
        "cpu_us": workers / count * 1e6,
        "workers_cores": workers / seconds,
        "redis_cores": redis / seconds,
    }


def _moment(world: World, session: int) -> tuple[float, float, float, float]:
    usage = world.redis.info("cpu")
    return (
        -world.redis.llen("jobs"),
        time.perf_counter(),
        cpu_seconds(session),
        usage["used_cpu_user"] + usage["used_cpu_sys"],
    )


def _processes(pair: Pair) -> Iterator[Measurement]:
    world, jobs = pair.world, pair.sizes.jobs
    waits = {"handler": "sleep1ms", "WORKER_CONCURRENCY": 4}
    yield "worker", lambda: drained(world, jobs)
    yield "4 processes", lambda: drained(world, 2 * jobs, 4)
    yield "worker, waiting", lambda: drained(world, jobs // 5, **waits)
    yield "4 processes, waiting", lambda: drained(world, 4 * jobs // 5, 4, **waits)


def _judge_processes(seen: Measured) -> list[Line]:
    return [
        _judge_scaling(seen, "no-op jobs", "worker", "4 processes"),
        _judge_scaling(
            seen,
            "jobs that wait 1 ms, 4 at a time in each",
            "worker, waiting",
            "4 processes, waiting",
        ),
    ]


def _judge_scaling(seen: Measured, what: str, one: str, four: str) -> Line:
    target = f"{what}: within 15 % of 4 × one process, or Redis's core is full"
    ratio = seen.ratio(four, one, "jobs_per_s")
    redis, workers = seen.of(four, "redis_cores"), seen.of(four, "workers_cores")
    redis_of_one, worker_of_one = seen.of(one, "redis_cores"), seen.of(one, "workers_cores")
    if not (ratio and redis and workers and redis_of_one and worker_of_one):
        return Line(target, "not run", None)
    cores = os.cpu_count() or 1
    took = redis_of_one.median + worker_of_one.median
    measured = (
        f"{ratio.text('{:.2f} ×')} one; Redis takes {redis.median:.2f} of a core, the workers "
        f"{workers.median:.2f}"
    )
    met = ratio.median >= _LINEAR or redis.median >= _FULL
    if not met and cores / took < _LINEAR:
        measured += (
            f". One process and its Redis take {took:.2f} already, so that the {cores} cores of "
            f"this machine hold {cores / took:.1f} × at most: they are full, Redis's is not"
        )
        return Line(target, measured, None)
    return Line(target, measured, met)


def _at_least(bound: float) -> Callable[[float], bool]:
    return lambda figure: figure >= bound


def _at_most(bound: float) -> Callable[[float], bool]:
    return lambda figure: figure <= bound


THROUGHPUT = Row(
    "throughput",
    "no-op jobs, backlog of 50,000, result and config (one of 1,000 keys) for each, typed payload",
    _noop,
    _judge_noop,
)
SLEEP = Row("sleep1ms", "jobs that sleep 1 ms, concurrency 100", _sleep, _judge_sleep)
PROCESSES = Row("processes", "4 worker processes", _processes, _judge_processes)
PAYLOAD = Row("payload100k", "payloads of 100 kB", _payload, _judge_payload)
