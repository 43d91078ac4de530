"""Rows of waiting: how soon a job starts, how soon its result is seen, what a long way costs."""

import json
from collections.abc import Iterator
from functools import partial

from benchmarks.figures import Measured, Record, percentile
from benchmarks.rows.row import Line, Measurement, Pair, Row, line
from benchmarks.rows.throughput import ours
from benchmarks.venvs import Peer
from benchmarks.world import World, wait_for
from worker.demo.servers import free_port

_WARM = 20
_QUICKEST = ("bullmq", "huey", "saq", "taskiq")


def _ranks(took: list[float]) -> Record:
    return {"p50_us": percentile(took, 0.5), "p99_us": percentile(took, 0.99)}


def probe(pair: Pair, worker: list[str], producer: list[str]) -> Record:
    """One job at a time to an idle worker, which has run some when it begins to count."""
    world, jobs = pair.world, pair.sizes.probes
    world.empty()
    meter = world.metered(
        worker,
        warm=_WARM,
        jobs=jobs,
        first=lambda: world.run([*producer, "probe", "1"]),
        then=lambda: world.run([*producer, "probe", str(_WARM + jobs - 1)]),
    )
    return _ranks(meter.notes)


def _pickup(pair: Pair) -> Iterator[Measurement]:
    world = pair.world
    yield "worker", lambda: probe(pair, world.worker(), world.command("benchmarks.produce"))
    for peer in pair.peers:
        if peer.name in _QUICKEST or pair.number == 0:
            yield peer.name, partial(_probe_peer, pair, peer)


def _probe_peer(pair: Pair, peer: Peer) -> Record:
    return probe(pair, peer.command("worker"), peer.command())


def _judge_pickup(seen: Measured) -> list[Line]:
    others = [name for name in seen.systems if name != "worker"]
    ratios = {name: seen.ratio("worker", name, "p50_us") for name in others}
    known = {name: ratio for name, ratio in ratios.items() if ratio}
    nearest = max(known, key=lambda name: known[name].median, default=None)
    return [
        line(
            "p50 ≤ 0.4 × SAQ's",
            ratios.get("saq"),
            "{:.2f} ×",
            lambda figure: figure <= 0.4,
        ),
        line(
            f"p50 below every peer's ({nearest or 'the quickest'})",
            known.get(nearest or ""),
            "{:.2f} ×",
            lambda figure: figure < 1,
        ),
        line(
            "p99 ≤ SAQ's p50",
            seen.ratio("worker", "saq", "p99_us", other_figure="p50_us"),
            "{:.2f} ×",
            lambda figure: figure <= 1,
        ),
    ]


def timed(world: World, worker: list[str], what: str, count: int) -> Record:
    """How long each call of a producer takes, with this worker."""
    world.empty()
    with world.running(worker):
        return _ranks(json.loads(world.run(world.command("benchmarks.produce", what, str(count)))))


def _roundtrip(pair: Pair) -> Iterator[Measurement]:
    world, count = pair.world, pair.sizes.probes
    echo = world.command("benchmarks.bare", "echo")
    yield "worker", lambda: timed(world, world.worker(), "roundtrip", count)
    yield "bare", lambda: timed(world, echo, "echo", count)


def _judge_roundtrip(seen: Measured) -> list[Line]:
    return [
        line(
            "p50 ≤ 1.5 × a bare echo",
            seen.ratio("worker", "bare", "p50_us"),
            "{:.2f} ×",
            lambda figure: figure <= 1.5,
        )
    ]


def _far(pair: Pair, milliseconds: float, concurrency: int, jobs: int) -> Record:
    """Our worker behind a proxy that adds so much to each round trip."""
    world, port = pair.world, free_port()
    command = world.command("benchmarks.proxy", str(port), str(world.redis_port), str(milliseconds))
    with world.running(command) as proxy:
        wait_for(lambda: _listens(port), proxy)
        figures = ours(
            pair,
            "noop",
            jobs,
            WORKER_REDIS_URL=f"redis://127.0.0.1:{port}/0",
            WORKER_CONCURRENCY=concurrency,
        )
    return {**figures, "milliseconds": milliseconds, "concurrency": concurrency}


def _listens(port: int) -> bool:
    import socket  # noqa: PLC0415

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _network(pair: Pair) -> Iterator[Measurement]:
    jobs = pair.sizes.jobs // 2
    yield "direct", lambda: ours(pair, "noop", jobs)
    yield "0 ms", lambda: _far(pair, 0, 100, jobs)
    yield "1 ms", lambda: _far(pair, 1, 100, jobs)
    if pair.number == 0:
        for concurrency in pair.sizes.far_concurrency:
            count = min(20 * concurrency, max(jobs, 6 * concurrency))
            yield f"100 ms, {concurrency}", partial(_far, pair, 100, concurrency, count)


def _judge_network(seen: Measured) -> list[Line]:
    direct = seen.of("direct", "jobs_per_s")
    far = [r for r in seen.records if r.get("milliseconds") == 100 and "failed" not in r]
    told = ", ".join(f"{r['jobs_per_s']:,.0f} jobs/s at {r['concurrency']:,}" for r in far)
    enough = [r["concurrency"] for r in far if direct and r["jobs_per_s"] >= direct.median / 2]
    needed = f"half of the direct jobs/s takes {min(enough):,}" if enough else "less than half"
    return [
        line(
            "1 ms: more than half of the direct jobs/s",
            seen.ratio("1 ms", "direct", "jobs_per_s"),
            "{:.2f} × (the proxy itself included)",
            lambda figure: figure > 0.5,
        ),
        Line(
            "100 ms: the concurrency that is needed",
            f"{told}: {needed}" if far else "not run",
            bool(enough) or None,
        ),
    ]


PICKUP = Row(
    "pickup", "idle worker, one job at a time: enqueue → handler starts", _pickup, _judge_pickup
)
ROUNDTRIP = Row(
    "roundtrip", "enqueue → result seen by `Client.result`", _roundtrip, _judge_roundtrip
)
NETWORK = Row(
    "latency", "1 ms and 100 ms of round trip to Redis, by a proxy", _network, _judge_network
)
