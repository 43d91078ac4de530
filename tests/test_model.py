"""The Lua scripts against every interleaving that Hypothesis can think of, on a real Redis.

Workers are driven through `worker.queue.Queue`, one call at a time: the scripts are atomic, so that
any interleaving of calls is one that real workers can bring about. A call may be done with its
reply lost, be done again later as a request that was held on its way, or be planned on what was
read before something else happened. MODEL_EXAMPLES=5000 looks further than the suite does.
"""

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import redis
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    initialize,
    invariant,
    multiple,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from tests.servers import RedisServer
from worker import scripts
from worker.clock import RedisClock
from worker.executor import Executor, Limits
from worker.job import ErrorInfo, continued, decode
from worker.keys import Keys
from worker.outcome import Outcome, bury, encode_result, finish, later, requeue
from worker.policy import Policy
from worker.queue import Exchange, Queue

KEYS = Keys("jobs")
REPLIES = "replies"
HOUR = 3_600_000
PROBLEM = ErrorInfo("ValueError", "no")

lost = st.sampled_from([False, False, True])


@dataclass(eq=False)
class Worker:
    """A worker as it sees itself: what it believes to hold, and what it has decided."""

    queue: Queue
    name: str
    knows: list[bytes] = field(default_factory=list)
    gone: bool = False


@dataclass(frozen=True)
class Call:
    """An exchange as it was sent."""

    worker: Worker
    outcomes: tuple[Outcome, ...]
    limit: int


@dataclass(frozen=True)
class Plan:
    """What a recoverer has read of a dead worker's list and is about to do."""

    recoverer: Worker
    dead: Worker
    outcomes: tuple[Outcome, ...]


@dataclass
class State:
    """All that stands in Redis."""

    pending: list[bytes]
    scheduled: list[bytes]
    dead: list[bytes]
    replies: list[bytes]
    leases: dict[bytes, float]
    now: float
    active: dict[str, list[bytes]]

    def places(self) -> Counter[str]:
        """How many jobs of each id there are, over all places. A final job counts by the result
        that was pushed to its `reply_to` in the same step."""
        lists = [self.pending, self.scheduled, self.replies, *self.active.values()]
        return Counter(json.loads(raw)["id"] for jobs in lists for raw in jobs)

    def is_live(self, worker: str) -> bool:
        return self.leases.get(worker.encode(), 0) > self.now


class Model(RuleBasedStateMachine):
    server: RedisServer

    workers = Bundle("workers")
    calls = Bundle("calls")
    plans = Bundle("plans")

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = Redis(port=self.server.port)
        self.look = redis.Redis(port=self.server.port)
        self.look.flushall()
        self.clock = RedisClock()
        self.pushed: Counter[str] = Counter()
        self.all: list[Worker] = []
        self.settled: list[bytes] = []
        self.buried: list[bytes] = []
        limits = Limits(Policy(), 1_000_000, 1_000_000, 3)
        self.executor = Executor({}, limits, "model", self.clock, 1)

    def teardown(self) -> None:
        try:
            if hasattr(self, "state"):
                self.everything_ends()
        finally:
            self.runner.run(self.redis.aclose())
            self.runner.close()
            self.look.close()

    # -- what producers do ---------------------------------------------------------------------

    @rule(
        number=st.integers(0, 5),
        copies=st.integers(1, 3),
        crashes=st.sampled_from([0, 0, 2]),
        delay=st.sampled_from(["", "", 0, HOUR]),
    )
    def enqueue(self, number: int, copies: int, crashes: int, delay: int | str) -> None:
        """Twins, jobs of the same bytes, are two jobs."""
        job = {"id": f"j{number}", "handler": "h", "reply_to": REPLIES, "crashes": crashes}
        raw = json.dumps(job).encode()
        self.pushed[f"j{number}"] += copies
        arguments = [delay, *[part for _ in range(copies) for part in (raw, b"")]]
        self.run(scripts.enqueue(self.redis, [KEYS.pending, KEYS.scheduled], arguments))

    @rule()
    def what_is_delayed_falls_due(self) -> None:
        due = dict.fromkeys(self.state.scheduled, 1.0)
        if due:
            self.look.zadd(KEYS.scheduled, due)

    # -- what workers do -----------------------------------------------------------------------

    @initialize(target=workers)
    def first_worker(self) -> Any:
        return multiple(self._born(), self._born())

    @rule(target=workers)
    def worker_starts(self) -> Worker:
        return self._born()

    @rule(worker=workers, lost=lost)
    def register(self, worker: Worker, lost: bool) -> None:
        """For the first time, or to agree with Redis on what the active list holds."""
        if worker.gone:
            return
        held = self.run(worker.queue.register(60))
        assert held == self.state.active.get(worker.name, [])[::-1]
        if not lost:
            worker.knows = list(held)

    @rule(worker=workers)
    def renew(self, worker: Worker) -> None:
        renewed = self.run(worker.queue.renew(60))
        assert renewed == self.state.is_live(worker.name)

    @rule(
        target=calls,
        worker=workers,
        limit=st.integers(0, 4),
        ops=st.lists(
            st.sampled_from(["finish", "bury", "retry", "postpone", "requeue"]), max_size=3
        ),
        lost=lost,
    )
    def exchange(self, worker: Worker, limit: int, ops: list[str], lost: bool) -> Call:
        """Settle some of what the worker believes to hold, and claim. With its reply lost, the
        worker goes on believing what it did: it will send the same outcomes again."""
        outcomes = [_outcome(op, raw) for op, raw in zip(ops, worker.knows, strict=False)]
        call = Call(worker, tuple(outcomes), 0 if worker.gone else limit)
        reply = self._do(call)
        if not lost:
            for outcome in outcomes:
                worker.knows.remove(outcome.raw)
            worker.knows += reply.jobs
        return call

    @rule(call=calls)
    def exchange_arrives_again(self, call: Call) -> None:
        """As a request does that was held on its way while its sender tried anew."""
        self._do(call)

    @precondition(lambda self: self.state.pending)
    @rule(worker=workers, lost=lost)
    def blocking_claim(self, worker: Worker, lost: bool) -> None:
        """It asks for no lease, so that it may land in a list which nobody watches."""
        job = self.run(worker.queue.wait(1))
        assert job == self.state.pending[-1]
        if not lost:
            worker.knows.append(job)

    @rule(worker=workers)
    def lease_ends(self, worker: Worker) -> None:
        """The worker is stopped, cut off or dead; it may yet go on."""
        self.look.zadd(KEYS.workers, {worker.name: 1}, xx=True)

    @rule(worker=workers)
    def worker_is_killed(self, worker: Worker) -> None:
        worker.gone = True
        worker.knows = []

    @rule(worker=workers)
    def worker_leaves(self, worker: Worker) -> None:
        """Also again, its first reply having been lost."""
        held = self.state.active.get(worker.name, [])
        assert self.run(worker.queue.leave()) == len(held)
        worker.gone = True
        worker.knows = []
        after = self._read()
        assert after.pending == self.state.pending + held
        assert worker.name.encode() not in after.leases

    # -- what recoverers do --------------------------------------------------------------------

    @rule(worker=workers)
    def lapsed(self, worker: Worker) -> None:
        """A full scan finds every list that holds jobs without a live lease."""
        found: set[str] = set()
        for _ in range(2):
            found |= set(self.run(worker.queue.lapsed()))
        assert {name for name in self.state.active if not self.state.is_live(name)} <= found
        assert not any(self.state.is_live(name) for name in found)

    @rule(
        target=plans,
        recoverer=workers,
        dead=workers,
        first=st.integers(0, 1),
        count=st.integers(0, 3),
    )
    def recoverer_looks(self, recoverer: Worker, dead: Worker, first: int, count: int) -> Plan:
        page = self.run(recoverer.queue.active(dead.name, first, count))
        outcomes = [self.executor.after_crash(raw, KEYS) for raw in page]
        return Plan(recoverer, dead, tuple(outcomes))

    @rule(plan=plans)
    def recover(self, plan: Plan) -> None:
        """With what was read then, once or again; two recoverers have two plans for one list."""
        self._recover(plan)

    @rule(plan=consumes(plans), most=st.integers(0, 2))
    def recoverer_dies_half_way(self, plan: Plan, most: int) -> None:
        self._recover(Plan(plan.recoverer, plan.dead, plan.outcomes[:most]))

    # -- what must hold ------------------------------------------------------------------------

    @invariant()
    def every_job_is_in_one_place(self) -> None:
        self.state = self._read()
        assert self.state.places() == self.pushed

    @invariant()
    def final_states_never_change(self) -> None:
        replies, dead = self.state.replies, self.state.dead
        assert replies[len(replies) - len(self.settled) :] == self.settled
        assert dead[len(dead) - len(self.buried) :] == self.buried
        self.settled, self.buried = replies, dead
        failed = Counter(r["id"] for raw in replies if (r := json.loads(raw))["status"] == "failed")
        assert failed == Counter(json.loads(json.loads(raw)["job"])["id"] for raw in dead)

    @invariant()
    def results_stand_as_they_were_recorded_last(self) -> None:
        latest: dict[str, bytes] = {}
        for raw in self.state.replies:  # newest first
            latest.setdefault(json.loads(raw)["id"], raw)
        for job_id, raw in latest.items():
            key = KEYS.result(job_id)
            assert self.look.get(key) == raw
            assert self.look.pttl(key) > 0

    @invariant()
    def no_key_but_the_documented_ones(self) -> None:
        results = {KEYS.result(json.loads(raw)["id"]) for raw in self.state.replies}
        actives = {KEYS.active(worker.name) for worker in self.all}
        places = {KEYS.pending, KEYS.scheduled, KEYS.workers, KEYS.dead, REPLIES}
        assert {key.decode() for key in self.look.scan_iter()} <= places | actives | results

    def everything_ends(self) -> None:
        """Whatever came before: what is recovered and worked off ends, all of it."""
        healer = self._born()
        for worker in self.all[:-1]:
            self.look.zadd(KEYS.workers, {worker.name: 1}, xx=True)
        for _ in range(2):
            for name in self.run(healer.queue.lapsed()):
                self._recover_all(healer, next(w for w in self.all if w.name == name))
        self.every_job_is_in_one_place()
        assert set(self.state.leases) == {healer.name.encode()}
        assert not self.state.active
        self.what_is_delayed_falls_due()
        jobs = self.run(healer.queue.exchange([], 10_000)).jobs
        self.run(healer.queue.exchange([_outcome("finish", raw) for raw in jobs], 0))
        self.run(healer.queue.leave())
        self.every_job_is_in_one_place()
        self.final_states_never_change()
        assert Counter(json.loads(raw)["id"] for raw in self.state.replies) == self.pushed
        assert (self.state.pending, self.state.scheduled, self.state.leases) == ([], [], {})

    # -- how -----------------------------------------------------------------------------------

    def run(self, work: Any) -> Any:
        return self.runner.run(work)

    def _born(self) -> Worker:
        name = f"w{len(self.all)}"
        worker = Worker(Queue(self.redis, "jobs", name, self.clock), name)
        self.all.append(worker)
        self.run(worker.queue.register(60))
        return worker

    def _do(self, call: Call) -> Exchange:
        """Send it, and hold the reply against what stood in Redis before."""
        worker, before = call.worker, self.state
        reply: Exchange = self.run(worker.queue.exchange(call.outcomes, call.limit))
        assert reply.live == before.is_live(worker.name)
        held = Counter(before.active.get(worker.name, []))
        refused = []
        for index, outcome in enumerate(call.outcomes):
            if not held[outcome.raw]:
                refused.append(index)
            held[outcome.raw] -= 1
        assert reply.refused == refused
        assert reply.complaints == {}
        assert len(reply.jobs) <= (call.limit if reply.live else 0)
        settled = len(call.outcomes) - len(refused)
        assert reply.held == len(before.active.get(worker.name, [])) - settled + len(reply.jobs)
        return reply

    def _recover(self, plan: Plan) -> Exchange:
        before = self.state
        reply: Exchange = self.run(plan.recoverer.queue.recover(plan.dead.name, plan.outcomes))
        after = self._read()
        if before.is_live(plan.dead.name):
            assert (after.pending, after.active) == (before.pending, before.active)
            assert after.dead == before.dead
        if len(after.dead) > len(before.dead):
            # Only a job that was alone may be taken for the one that kills.
            assert len(before.active[plan.dead.name]) == 1
            assert len(after.dead) == len(before.dead) + 1
        if plan.dead.name in after.active and plan.dead.name.encode() in before.leases:
            assert plan.dead.name.encode() in after.leases  # somebody has to go on with it
        return reply

    def _recover_all(self, recoverer: Worker, dead: Worker) -> None:
        while True:
            self.state = self._read()
            page = self.run(recoverer.queue.active(dead.name, 0, 100))
            outcomes = [self.executor.after_crash(raw, KEYS) for raw in page]
            reply = self._recover(Plan(recoverer, dead, tuple(outcomes)))
            assert not reply.live
            if not reply.held:
                return

    def _read(self) -> State:
        with self.look.pipeline() as pipe:
            pipe.lrange(KEYS.pending, 0, -1)
            pipe.zrange(KEYS.scheduled, 0, -1)
            pipe.lrange(KEYS.dead, 0, -1)
            pipe.lrange(REPLIES, 0, -1)
            pipe.zrange(KEYS.workers, 0, -1, withscores=True)
            pipe.time()
            for worker in self.all:
                pipe.lrange(KEYS.active(worker.name), 0, -1)
            pending, scheduled, dead, replies, leases, now, *active = pipe.execute()
        lists = {worker.name: jobs for worker, jobs in zip(self.all, active, strict=True) if jobs}
        return State(pending, scheduled, dead, replies, dict(leases), now[0] * 1000, lists)


def _outcome(op: str, raw: bytes) -> Outcome:
    """What a worker may decide on a job."""
    job = decode(raw, KEYS, 1_000_000)
    if op == "requeue":
        return requeue(raw)
    if op == "postpone":
        return later(raw, raw, HOUR / 1000)
    if op == "retry":
        return later(raw, continued(raw, attempts=job.attempts + 1), 0)
    failed = op == "bury"
    result = encode_result(
        job_id=job.id,
        handler=job.handler,
        status="failed" if failed else "succeeded",
        result=None,
        error=PROBLEM if failed else None,
        attempts=job.attempts + 1,
        config=None,
        worker="w",
        enqueued_at=None,
        started_at=None,
        finished_at=0,
    )
    if not failed:
        return finish(raw, job, result, HOUR)
    return bury(
        raw,
        "failed",
        PROBLEM,
        attempts=job.attempts + 1,
        worker="w",
        died_at=0,
        result_id=job.id,
        result=result,
        ttl_ms=HOUR,
        reply_to=job.reply_to,
    )


def test_no_interleaving_loses_a_job_or_settles_it_twice(redis_server: RedisServer) -> None:
    Model.server = redis_server
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=int(os.environ.get("MODEL_EXAMPLES", "80")),
            stateful_step_count=40,
            deadline=None,
            suppress_health_check=list(HealthCheck),
        ),
    )
