"""SIGKILL at each named step: one worker a step dies there, each on a queue of its own, and a
healthy one finds what they left."""

import json
import signal
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.support import dying_worker
from tests.support.servers import DynamoServer, RedisServer
from tests.support.table import Table
from tests.support.waiting import tolerance, wait_until
from tests.support.worker_process import Worker, worker_environment

LEASE = 1.0
HEARTBEAT = LEASE / 3
JOBS = 4
STEPS = [step.__name__ for step in dying_worker.STEPS]
RECOVERY = [step for step in STEPS if step.startswith("in_recovery")]
# Eleven processes start at once, on a machine that may be busy.
PATIENCE = 90.0


pytestmark = pytest.mark.timeout(4 * PATIENCE)


@dataclass(frozen=True)
class Aftermath:
    """What Redis held when the dying had died, and when the healthy worker was there (ms)."""

    r: Any
    held: dict[str, dict[str, str]]
    leases: dict[str, float]
    ready_at: float

    def results(self, step: str) -> dict[str, dict[str, Any]]:
        """The results on this step's queue, by job. Each recording of one is pushed to its
        `reply_to` in the same step, so that two of one job would be two there."""
        results = [json.loads(raw) for raw in self.r.lrange(f"replies:{step}", 0, -1)]
        assert len(results) == JOBS
        return {result["id"]: result for result in results}


@pytest.fixture(scope="module")
def aftermath(
    session_dynamo: DynamoServer, redis_binary: str | None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Aftermath]:
    folder = tmp_path_factory.mktemp("crash-steps")
    server = RedisServer(folder, binary=redis_binary)
    table = Table(session_dynamo, name="crash-steps").create()
    server.start()
    environment = {
        **worker_environment(server, session_dynamo),
        "WORKER_CONFIG_TABLE": table.name,
        "WORKER_LEASE": str(LEASE),
        "WORKER_CONCURRENCY": "2",
        "WORKER_GRACE_PERIOD": "0",
    }
    workers: list[Worker] = []
    try:
        with server.client() as r:
            _let_them_die(r, environment, folder, workers)
            held = {step: _held(r, step) for step in STEPS}
            leases = {step: max(_leases(r, step), default=0.0) for step in STEPS}
            healthy = {**environment, "WORKER_QUEUE": ",".join(STEPS), "WORKER_CONCURRENCY": "100"}
            workers.append(_start("worker", healthy, folder / "healthy.log"))
            workers[-1].wait_ready(PATIENCE)
            ready_at = time.time() * 1000
            wait_until(
                lambda: all(_is_done(r, step) for step in STEPS), PATIENCE, "for every job's end"
            )
            yield Aftermath(r, held, leases, ready_at)
            assert workers[-1].stop() == 0, workers[-1].log
    finally:
        for worker in workers:
            worker.end()
        server.stop()
        table.close()


def _let_them_die(r: Any, environment: dict[str, str], folder: Path, workers: list[Worker]) -> None:
    for step in STEPS:
        # A dead worker's list and lease for the recoverers to find; jobs for the others.
        jobs = [_job(step, number) for number in range(JOBS)]
        if step in RECOVERY:
            r.lpush(f"{{{step}}}:active:ghost", *jobs)
            r.zadd(f"{{{step}}}:workers", {"ghost": 1})
        else:
            r.lpush(step, *jobs)
    for step in STEPS:
        settings = {**environment, "WORKER_QUEUE": step, "DIE_AT": step}
        workers.append(_start("tests.support.dying_worker", settings, folder / f"{step}.log"))
    leaving = workers[STEPS.index("before_leaving")]
    wait_until(
        lambda: r.hexists("runs", "before_leaving-1"), PATIENCE, "for the one that is to leave"
    )
    leaving.signal(signal.SIGTERM)
    for step, worker in zip(STEPS, workers, strict=True):
        assert worker.wait(PATIENCE) == -signal.SIGKILL, f"{step}: {worker.log}"


def _start(module: str, environment: dict[str, str], log: Path) -> Worker:
    return Worker(["tests.apps.dying:app"], log.parent, environment, log, module=module)


def _job(step: str, number: int) -> str:
    handler = "linger" if step in ("in_the_handler", "before_leaving") else "tell"
    job = {"id": f"{step}-{number}", "handler": handler, "reply_to": f"replies:{step}"}
    return json.dumps(job)


def _held(r: Any, step: str) -> dict[str, str]:
    """Which worker's active list holds which job."""
    names = r.scan_iter(match=f"{{{step}}}:active:*", count=1000)
    return {
        json.loads(raw)["id"]: name.rpartition(":")[2]
        for name in names
        for raw in r.lrange(name, 0, -1)
    }


def _leases(r: Any, step: str) -> list[float]:
    return [score for _, score in r.zrange(f"{{{step}}}:workers", 0, -1, withscores=True)]


def _is_done(r: Any, step: str) -> bool:
    return r.llen(f"replies:{step}") >= JOBS and not _held(r, step) and not r.llen(step)


@pytest.mark.parametrize("step", STEPS)
def test_every_job_ends_in_exactly_one_final_state(aftermath: Aftermath, step: str) -> None:
    results = aftermath.results(step)
    assert set(results) == {f"{step}-{number}" for number in range(JOBS)}
    for job_id, result in results.items():
        assert result["status"] == "succeeded"
        assert json.loads(aftermath.r.get(f"{{{step}}}:result:{job_id}")) == result
    assert aftermath.r.keys(f"{{{step}}}:active:*") == []
    assert not aftermath.r.exists(step, f"{{{step}}}:dead", f"{{{step}}}:scheduled")


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_is_counted_for_what_the_dead_held_and_no_attempt(
    aftermath: Aftermath, step: str
) -> None:
    held = aftermath.held[step]
    for job_id, result in aftermath.results(step).items():
        ghosts = 1 if step in RECOVERY else 0
        dying = 1 if held.get(job_id, "ghost") != "ghost" else 0
        assert result["result"] == {"crashes": ghosts + dying, "attempt": 1}


@pytest.mark.parametrize("step", [step for step in STEPS if step not in RECOVERY])
def test_what_was_held_runs_again_within_a_lease_and_a_heartbeat(
    aftermath: Aftermath, step: str
) -> None:
    assert aftermath.held[step]
    results = aftermath.results(step)
    latest = max(results[job_id]["started_at"] for job_id in aftermath.held[step])
    due = max(aftermath.leases[step], aftermath.ready_at)
    assert latest <= due + (HEARTBEAT + 1 + tolerance()) * 1000


def test_what_was_settled_runs_no_second_time_though_its_reply_was_never_read(
    aftermath: Aftermath,
) -> None:
    step = "after_the_settle_before_its_reply"
    by_the_dead = [
        r for r in aftermath.results(step).values() if r["finished_at"] < aftermath.ready_at
    ]
    assert by_the_dead
    runs = aftermath.r.hgetall("runs")
    assert all(runs[result["id"]] == "1" for result in by_the_dead)


def test_a_recoverer_that_dies_half_way_leaves_the_rest_to_the_next(aftermath: Aftermath) -> None:
    still_there = [
        job_id
        for job_id, holder in aftermath.held["in_recovery_half_way"].items()
        if holder == "ghost"
    ]
    assert len(still_there) == JOBS // 2
