"""The Lua scripts against every interleaving that Hypothesis can think of, on a real Redis.

Workers are driven through `worker.broker.queue.Queue`, one call at a time: the scripts are atomic,
so that any interleaving of calls is one that real workers can bring about. A call may be done with
its reply lost, be done again later as a request that was held on its way, or be planned on what was
read before something else happened. `MODEL_EXAMPLES=5000 uv run pytest --timeout=0` of this file
looks further than the suite does.
"""

import asyncio
import json
import os
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import redis
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from redis.asyncio import Redis

from tests.support.servers import RedisServer
from worker.broker import scripts
from worker.broker.connection import ResilientPool
from worker.broker.queue import Exchange, Queue
from worker.execution.defaults import JobDefaults
from worker.execution.outcomes import Outcomes
from worker.jobs.clock import RedisClock
from worker.jobs.job import continued, decode
from worker.jobs.keys import Keys
from worker.jobs.outcome import Burial, Outcome, StoredResult, bury, finish, later, requeue
from worker.jobs.policy import Policy
from worker.jobs.result import ErrorInfo

KEYS = Keys("jobs")
REPLIES = "replies"
HOUR = 3_600_000

IDS = ("a", "b", "c", "d")

who = st.integers(0, 2)
which = st.integers(0, 3)
lost = st.sampled_from([False, False, True])
# With two crashes behind it, a job is one short of being buried.
jobs = st.lists(st.tuples(st.sampled_from(IDS), st.sampled_from([0, 0, 2])), min_size=3, max_size=8)
op = st.sampled_from(["finish", "bury", "retry", "postpone", "requeue"])
ops = st.lists(op, min_size=1, max_size=5)


@dataclass(eq=False)
class Worker:
    """A worker as it sees itself. `knows` is what it believes to hold."""

    queue: Queue
    name: str
    knows: list[bytes] = field(default_factory=list)


@dataclass(frozen=True)
class Call:
    """An exchange as it was sent."""

    worker: Worker
    outcomes: tuple[Outcome, ...]
    limit: int


@dataclass(frozen=True)
class Plan:
    """What a recoverer has read of a worker's list and is about to do."""

    recoverer: Worker
    dead: Worker
    outcomes: tuple[Outcome, ...]


@dataclass
class State:
    """All that stands in Redis. What is left in a list is newest, as Redis has it."""

    pending: list[bytes]
    scheduled: list[bytes]
    dead: list[bytes]
    replies: list[bytes]
    leases: dict[bytes, float]
    now: float
    keys: set[str]
    results: dict[str, tuple[bytes, int]]
    active: dict[str, list[bytes]]

    def places(self) -> Counter[str]:
        """How many jobs of each id there are, over all places. A final job counts by the result
        that was pushed to its `reply_to` in the same step."""
        lists = [self.pending, self.scheduled, self.replies, *self.active.values()]
        return Counter(json.loads(raw)["id"] for jobs in lists for raw in jobs)

    def is_live(self, worker: str) -> bool:
        return self.leases.get(worker.encode(), 0) > self.now


class Model(RuleBasedStateMachine):
    """Three workers at a time; who is killed or leaves has a successor. Numbers choose among what
    is there, so that hardly a step is without effect."""

    server: RedisServer

    def __init__(self) -> None:
        super().__init__()
        self.runner = asyncio.Runner()
        self.redis = Redis.from_pool(ResilientPool(port=self.server.port))
        self.look = redis.Redis(port=self.server.port)
        self.look.flushall()
        self.clock = RedisClock()
        self.outcomes = Outcomes(JobDefaults(Policy(), 10**6, 10**6, 3), "model", self.clock)
        self.pushed: Counter[str] = Counter()
        self.all: list[Worker] = []
        self.crew = [self._born() for _ in range(3)]
        self.calls: list[Call] = []
        self.plans: list[Plan] = []
        self.settled: list[bytes] = []
        self.buried: list[bytes] = []
        self.state = self._read()

    def teardown(self) -> None:
        try:
            self.everything_ends()
        finally:
            self.run(self.redis.aclose())
            self.runner.close()
            self.look.close()

    # -- what producers do ---------------------------------------------------------------------

    @initialize(jobs=jobs)
    def there_are_jobs(self, jobs: list[tuple[str, int]]) -> None:
        self._enqueue(jobs, "")

    @rule(jobs=jobs, delay=st.sampled_from(["", 0, HOUR]))
    def enqueue(self, jobs: list[tuple[str, int]], delay: int | str) -> None:
        self._enqueue(jobs, delay)

    @rule()
    def what_is_delayed_falls_due(self) -> None:
        due = dict.fromkeys(self.state.scheduled, 1.0)
        if due:
            self.look.zadd(KEYS.scheduled, due)

    # -- what workers do -----------------------------------------------------------------------

    @rule(who=who, limit=st.integers(1, 5), lost=lost)
    def claim(self, who: int, limit: int, lost: bool) -> None:
        self._turn(who, [], limit, lost=lost)

    @rule(who=who, ops=ops, limit=st.integers(0, 5))
    def settle_and_claim(self, who: int, ops: list[str], limit: int) -> None:
        self._turn(who, ops, limit, lost=False)

    @rule(who=who, op=op, limit=st.integers(0, 5))
    def settle_all_alike(self, who: int, op: str, limit: int) -> None:
        self._turn(who, [op] * 10, limit, lost=False)

    @rule(who=who, ops=ops, limit=st.integers(0, 5))
    def settle_and_claim_with_the_reply_lost(self, who: int, ops: list[str], limit: int) -> None:
        """The worker goes on believing what it did, and will send the same outcomes again."""
        self._turn(who, ops, limit, lost=True)

    @precondition(lambda self: self.calls)
    @rule(which=which)
    def turn_arrives_again(self, which: int) -> None:
        """As a request does that was held on its way while its sender tried anew, or died."""
        self._do(self.calls[-1 - which % len(self.calls)])

    @precondition(lambda self: self.state.pending)
    @rule(who=who, lost=lost)
    def blocking_claim(self, who: int, lost: bool) -> None:
        """It asks for no lease, so that it may land in a list which nobody watches."""
        job = self.run(self.crew[who].queue.wait(1))
        assert job == self.state.pending[-1]
        if not lost:
            self.crew[who].knows.append(job)

    @rule(who=who, lost=lost)
    def register(self, who: int, lost: bool) -> None:
        """Agree with Redis on what the active list holds, and take a lease anew."""
        worker = self.crew[who]
        held = self.run(worker.queue.register(60))
        assert held == self.state.active.get(worker.name, [])[::-1]
        if not lost:
            worker.knows = list(held)

    @rule(who=who)
    def renew(self, who: int) -> None:
        name = self.crew[who].name
        held = len(self.state.active.get(name, [])) if self.state.is_live(name) else None
        assert self.run(self.crew[who].queue.renew(60)) == held

    @rule(who=who, killed=st.booleans())
    def lease_ends(self, who: int, killed: bool) -> None:
        """The worker is stopped or cut off, and may yet go on; or it is dead."""
        self.look.zadd(KEYS.workers, {self.crew[who].name: 1}, xx=True)
        if killed:
            self.crew[who] = self._born()

    @rule(who=who)
    def worker_leaves(self, who: int) -> None:
        worker = self.crew[who]
        held = self.state.active.get(worker.name, [])
        assert self.run(worker.queue.deregister()) == len(held)
        after = self._read()
        assert after.pending == self.state.pending + held
        assert worker.name.encode() not in after.leases
        self.crew[who] = self._born()

    # -- what recoverers do --------------------------------------------------------------------

    @rule(who=who)
    def expired_workers(self, who: int) -> None:
        """A full scan finds every list that holds jobs without a live lease."""
        found = {
            name for _ in range(2) for name in self.run(self.crew[who].queue.expired_workers())
        }
        assert {name for name in self.state.active if not self.state.is_live(name)} <= found
        assert not any(self.state.is_live(name) for name in found)

    @precondition(lambda self: self.state.active)
    @rule(who=who, which=which, first=st.integers(0, 1), count=st.integers(1, 3))
    def recoverer_looks(self, who: int, which: int, first: int, count: int) -> None:
        """At any list that holds jobs, though its worker may be alive."""
        holding = [worker for worker in self.all if worker.name in self.state.active]
        dead = holding[which % len(holding)]
        page = self.run(self.crew[who].queue.active(dead.name, first, count))
        outcomes = [self.outcomes.after_crash(raw, KEYS) for raw in page]
        self.plans.append(Plan(self.crew[who], dead, tuple(outcomes)))

    @precondition(lambda self: self.plans)
    @rule(which=which, most=st.integers(0, 3))
    def recover(self, which: int, most: int) -> None:
        """With what was read then, once or again, all of it or a part: two recoverers have two
        plans for one list, and each may die half-way."""
        plan = self.plans[-1 - which % len(self.plans)]
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
    def a_result_stands_as_it_was_recorded_last_and_has_a_time_to_live(self) -> None:
        latest = {json.loads(raw)["id"]: raw for raw in reversed(self.state.replies)}
        assert {job_id: raw for job_id, (raw, _) in self.state.results.items()} == latest
        assert all(ttl > 0 for _, ttl in self.state.results.values())

    @invariant()
    def there_is_no_key_but_the_documented_ones(self) -> None:
        results = {KEYS.result(job_id) for job_id in IDS}
        actives = {KEYS.active(worker.name) for worker in self.all}
        places = {KEYS.pending, KEYS.scheduled, KEYS.workers, KEYS.dead, REPLIES}
        assert self.state.keys <= places | actives | results

    def everything_ends(self) -> None:
        """Whatever came before: what is recovered and worked off ends, all of it."""
        healer = self._born()
        for worker in self.all[:-1]:
            self.look.zadd(KEYS.workers, {worker.name: 1}, xx=True)
        for _ in range(2):
            for name in self.run(healer.queue.expired_workers()):
                self._recover_all(healer, next(w for w in self.all if w.name == name))
        self.every_job_is_in_one_place()
        assert set(self.state.leases) == {healer.name.encode()}
        assert not self.state.active
        self.what_is_delayed_falls_due()
        jobs = self.run(healer.queue.exchange([], 10_000)).jobs
        self.run(healer.queue.exchange([_outcome("finish", raw) for raw in jobs], 0))
        self.run(healer.queue.deregister())
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

    def _turn(self, who: int, ops: list[str], limit: int, *, lost: bool) -> None:
        worker = self.crew[who]
        outcomes = [_outcome(op, raw) for op, raw in zip(ops, worker.knows, strict=False)]
        call = Call(worker, tuple(outcomes), limit)
        reply = self._do(call)
        self.calls.append(call)
        if not lost:
            for outcome in outcomes:
                worker.knows.remove(outcome.raw)
            worker.knows += reply.jobs

    def _enqueue(self, jobs: list[tuple[str, int]], delay: int | str) -> None:
        """Many are twins, jobs of the same bytes, which are two jobs."""
        arguments: list[Any] = [delay]
        for job_id, crashes in jobs:
            job = {"id": job_id, "handler": "h", "reply_to": REPLIES, "crashes": crashes}
            arguments += [json.dumps(job).encode(), b""]
            self.pushed[job_id] += 1
        self.run(scripts.enqueue(self.redis, [KEYS.pending, KEYS.scheduled], arguments))

    def _do(self, call: Call) -> Exchange:
        """Send it, and hold the reply against what stood in Redis before."""
        worker, before = call.worker, self.state
        reply: Exchange = self.run(worker.queue.exchange(call.outcomes, call.limit))
        assert reply.live == before.is_live(worker.name)
        held = Counter(before.active.get(worker.name, []))
        refused = []
        for index, outcome in enumerate(call.outcomes):
            if held[outcome.raw]:
                held[outcome.raw] -= 1
            else:
                refused.append(index)
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
            outcomes = [self.outcomes.after_crash(raw, KEYS) for raw in page]
            reply = self._recover(Plan(recoverer, dead, tuple(outcomes)))
            assert not reply.live
            if not reply.held:
                return

    def _read(self) -> State:
        """Everything, in one round trip."""
        with self.look.pipeline() as pipe:
            pipe.lrange(KEYS.pending, 0, -1)
            pipe.zrange(KEYS.scheduled, 0, -1)
            pipe.lrange(KEYS.dead, 0, -1)
            pipe.lrange(REPLIES, 0, -1)
            pipe.zrange(KEYS.workers, 0, -1, withscores=True)
            pipe.time()
            pipe.keys()
            for job_id in IDS:
                pipe.get(KEYS.result(job_id))
                pipe.pttl(KEYS.result(job_id))
            for worker in self.all:
                pipe.lrange(KEYS.active(worker.name), 0, -1)
            pending, scheduled, dead, replies, leases, now, keys, *more = pipe.execute()
        results, active = more[: 2 * len(IDS)], more[2 * len(IDS) :]
        return State(
            pending,
            scheduled,
            dead,
            replies,
            dict(leases),
            now[0] * 1000,
            {key.decode() for key in keys},
            {
                job_id: (raw, ttl)
                for job_id, raw, ttl in zip(IDS, results[::2], results[1::2], strict=True)
                if raw is not None
            },
            {worker.name: jobs for worker, jobs in zip(self.all, active, strict=True) if jobs},
        )


def _outcome(op: str, raw: bytes) -> Outcome:
    """What a worker may decide on a job."""
    job = decode(raw, KEYS, 1_000_000)
    if op == "requeue":
        return requeue(raw)
    if op == "postpone":
        return later(raw, raw, HOUR / 1000)
    if op == "retry":
        return later(raw, continued(raw, attempts=job.attempts + 1), 0)
    result = json.dumps({"id": job.id, "status": "failed" if op == "bury" else "succeeded"})
    if op == "finish":
        return finish(raw, job, result.encode(), HOUR)
    burial = Burial("failed", ErrorInfo("ValueError", "no"), job.attempts + 1, "w", 0)
    return bury(raw, burial, StoredResult(job.id, result.encode(), HOUR, job.reply_to))


def test_no_interleaving_loses_a_job_or_settles_it_twice(redis_server: RedisServer) -> None:
    Model.server = redis_server
    examples = os.environ.get("MODEL_EXAMPLES")
    # What fails in the suite fails quickly, its steps as they came; whoever looks further has the
    # time to see them shrunk to the fewest.
    phases = Phase if examples else (Phase.explicit, Phase.reuse, Phase.generate)
    run_state_machine_as_test(
        Model,
        settings=settings(
            max_examples=int(examples or 80),
            stateful_step_count=50,
            deadline=None,
            phases=tuple(phases),
            suppress_health_check=list(HealthCheck),
        ),
    )
