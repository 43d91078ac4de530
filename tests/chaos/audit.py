"""The reckoning: what became of every job that was pushed."""

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any

from tests.chaos.app import RUNS
from tests.chaos.work import PREFIXES, QUEUES, RECORDED, Kind, Pushed

_PAGE = 1000
# How far a worker's idea of Redis's clock may be off while replies are delayed, in ms.
_CLOCK_OFF_BY = 200


@dataclass
class Audit:
    """`problems` names every broken promise; the rest are figures. `crashed` counts the jobs that
    were buried for what their worker suffered."""

    problems: list[str] = field(default_factory=list)
    pushed: int = 0
    unacknowledged: int = 0
    lost: int = 0
    recorded_twice: int = 0
    runs: int = 0
    ran: int = 0
    crashed: int = 0
    fates: Counter[str] = field(default_factory=Counter)


def is_drained(r: Any) -> bool:
    """Whether nothing is pending, scheduled or active."""
    return not any(
        r.llen(queue) or r.zcard(f"{PREFIXES[queue]}scheduled") or _active(r, queue)
        for queue in QUEUES
    )


def audit(r: Any, pushed: list[Pushed], *, may_crash: bool) -> Audit:
    """Look at everything, after the workers have left. `may_crash` says that any job may end as
    `crashed`: its worker may have broken under it, and not because of it, once too often."""
    found = _Found(r)
    report = Audit()
    for queue in QUEUES:
        report.problems += _leftovers(r, queue)
    for job in pushed:
        _check(_crashed(job) if may_crash and found.has_crashed(job) else job, found, report)
    return report


def _crashed(job: Pushed) -> Pushed:
    """What must be found of it then."""
    fate = replace(job.kind, status="failed", reason="crashed")
    return replace(job, kind=fate)


class _Found:
    """What stands in Redis, by queue and id. `recorded` counts the pushes to reply_to: one comes
    with each recording of a result, in the same step, and nothing takes it away again."""

    def __init__(self, r: Any) -> None:
        self.recorded: Counter[str] = Counter()
        for raw in _items(r, RECORDED):
            self.recorded[json.loads(raw)["id"]] += 1
        self.runs = Counter(member.split()[0] for member in r.sscan_iter(RUNS, count=_PAGE))
        self.dead: dict[str, list[dict[str, Any]]] = defaultdict(list)
        self.results: dict[str, dict[str, Any]] = {}
        for queue in QUEUES:
            for raw in _items(r, f"{PREFIXES[queue]}dead"):
                entry = json.loads(raw)
                self.dead[json.loads(entry["job"])["id"]].append(entry)
            for keys in _pages(r.scan_iter(match=f"{PREFIXES[queue]}result:*", count=_PAGE)):
                for raw in r.mget(keys):
                    result = json.loads(raw)
                    self.results[result["id"]] = result

    def has_crashed(self, job: Pushed) -> bool:
        return any(entry["reason"] == "crashed" for entry in self.dead[job.id])


def _check(job: Pushed, found: _Found, report: Audit) -> None:
    result, dead = found.results.get(job.id), found.dead[job.id]
    recorded, runs = found.recorded[job.id], found.runs[job.id]
    report.pushed += job.copies
    report.runs += runs
    if result is None and not dead and not recorded:
        if job.acknowledged:
            report.lost += job.copies
            report.problems.append(f"lost: {job}")
        else:
            report.unacknowledged += job.copies
        return
    report.ran += job.copies if job.kind.runs else 0
    report.fates[job.kind.reason or job.kind.status] += job.copies
    if job.kind.handler != "poison":
        report.crashed += sum(entry["reason"] == "crashed" for entry in dead)
    burials = job.copies if job.kind.reason else 0
    report.recorded_twice += max(0, recorded - job.copies) + max(0, len(dead) - burials)
    wrong = [
        *_differ("results recorded", recorded, job.copies),
        *_differ("entries in the dead list", len(dead), burials),
        *_differ("status", result and result["status"], job.kind.status),
        *_differ("reasons", {e["reason"] for e in dead}, {job.kind.reason} if burials else set()),
        *_wrong_runs(job, runs),
        *_wrong_result(job, result),
    ]
    if recorded < job.copies:
        report.lost += job.copies - recorded
    if wrong:
        report.problems.append(f"{'; '.join(wrong)}: {job}, result {result}, dead {dead}")


def _wrong_runs(job: Pushed, runs: int) -> Iterator[str]:
    if job.kind.status == "succeeded" and runs < job.copies:
        yield f"succeeded with {runs} runs"
    if not job.kind.runs:
        yield from _differ("runs", runs, 0)


def _wrong_result(job: Pushed, result: dict[str, Any] | None) -> Iterator[str]:
    if result is None:
        return
    if job.kind.status == "succeeded":
        yield from _differ("result", result["result"], _expected_value(job.kind, job.payload))
    if job.kind.handler == "flaky" and job.kind.status == "succeeded":
        yield from _differ("attempts", result["attempts"], job.payload + 1)
    if result["started_at"] is not None and result["started_at"] < job.due - _CLOCK_OFF_BY:
        yield f"started {job.due - result['started_at']} ms before it was due"


def _expected_value(kind: Kind, payload: Any) -> Any:
    return f"name of {payload}" if kind.handler == "configured" else payload


def _leftovers(r: Any, queue: str) -> Iterator[str]:
    prefix = PREFIXES[queue]
    for key in r.scan_iter(match=f"{_plain(prefix)}*", count=_PAGE):
        name = key[len(prefix) :]
        if name.startswith("result:"):
            if r.ttl(key) <= 0:
                yield f"{key} has no time to live"
        elif name == "workers":
            yield f"{key} still holds {r.zrange(key, 0, -1)}"
        elif name != "dead":
            yield f"{key} is left over"
    if r.exists(queue):
        yield f"{queue} still holds jobs"


def _differ(what: str, is_: Any, should_be: Any) -> Iterator[str]:
    if is_ != should_be:
        yield f"{what}: {is_!r} and not {should_be!r}"


def _active(r: Any, queue: str) -> bool:
    return any(True for _ in r.scan_iter(match=f"{_plain(PREFIXES[queue])}active:*", count=_PAGE))


def _items(r: Any, key: str) -> Iterator[str]:
    for first in range(0, r.llen(key), _PAGE):
        yield from r.lrange(key, first, first + _PAGE - 1)


def _pages(keys: Iterator[str]) -> Iterator[list[str]]:
    page: list[str] = []
    for key in keys:
        page.append(key)
        if len(page) == _PAGE:
            yield page
            page = []
    if page:
        yield page


def _plain(prefix: str) -> str:
    return prefix.replace("[", "\\[")
