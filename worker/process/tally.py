"""What this process has done: counted for each job, said once a minute and at the end."""

from collections import Counter
from collections.abc import Mapping, Sequence

from worker.execution.claimed_job import ClaimedJob
from worker.jobs.outcome import Outcome

_SAMPLE = 10  # about so many run times are taken from one exchange
# Burials of jobs whose handler did not run. All others are failed attempts.
_NEVER_RAN = frozenset({"config_invalid", "config_missing", "malformed", "payload_invalid"})
# Of jobs: finished with a result, buried, run with stale config, expired. Of attempts: failed, and
# those of them after which the job runs again.
_NAMES = ("finished", "failed", "buried", "retried", "stale", "expired")


def said(counts: Mapping[str, int]) -> str:
    """Return counts as a log line says them: `12 finished, 1 failed, ...`."""
    named = [name for name in _NAMES if name != "expired" or counts.get(name)]
    return ", ".join(f"{counts.get(name, 0):,} {name}" for name in named)


class Tally:
    """Counts what Redis has recorded: `since` the last minute's line, and in `total`.

    A job pays one look at its outcome. Run times are counted by their ms, so that nothing is kept
    for each job, and sorted when a line is written.
    """

    def __init__(self) -> None:
        self.total: Counter[str] = Counter()
        self._since: Counter[str] = Counter()
        self._run_times: Counter[int] = Counter()

    def recorded(self, sent: list[ClaimedJob], refused: Sequence[int]) -> None:
        """Count the jobs of one exchange, but for those whose outcomes Redis refused."""
        if refused:
            left_out = set(refused)
            sent = [claimed for index, claimed in enumerate(sent) if index not in left_out]
        # One look at each job: in a flood, nearly all are plain successes.
        others = [job for job in sent if job.stale or job.outcome.status != "succeeded"]  # type: ignore[union-attr]
        if plain := len(sent) - len(others):
            self._since["finished"] += plain
        for claimed in others:
            if claimed.stale and _has_run(claimed):
                self._since["stale"] += 1
            if claimed.outcome is not None:
                self._since.update(_counted(claimed.outcome))
        # Of many jobs at once, some stand for all.
        for claimed in sent[:: 1 + len(sent) // _SAMPLE]:
            if claimed.started_at is not None and _has_run(claimed):
                self._run_times[claimed.ended_at - claimed.started_at] += 1

    def buried_after_crash(self) -> None:
        """Count a job of a dead worker that Redis has buried."""
        self._since["buried"] += 1

    def take(self) -> tuple[Counter[str], "RunTimes"]:
        """Return what was done since the last call, and begin again."""
        counts, run_times = self._since, RunTimes(self._run_times)
        self._since, self._run_times = Counter(), Counter()
        self.total.update(counts)
        return counts, run_times


def _counted(outcome: Outcome) -> tuple[str, ...]:
    """Return as what an outcome counts."""
    if outcome.status == "succeeded":
        return ("finished",)
    if outcome.status == "expired":
        return ("expired",)
    if outcome.reason is not None:
        return ("buried",) if outcome.reason in _NEVER_RAN else ("buried", "failed")
    # With its own bytes, a job waits for its config or to run alone: no attempt is spent.
    is_retry = outcome.op == "later" and outcome.extra is not outcome.raw
    return ("failed", "retried") if is_retry else ()


def _has_run(claimed: ClaimedJob) -> bool:
    """Whether its handler ran to an end of its own, and was not stopped to be given back."""
    return hasattr(claimed, "ended_at")


class RunTimes:
    """How long handlers ran: how many of them for each number of ms."""

    def __init__(self, counts: Counter[int]) -> None:
        self._counts = counts

    def __str__(self) -> str:
        if not self._counts:
            return "none ran"
        return f"p50 {_readable(self.percentile(50))}, p95 {_readable(self.percentile(95))}"

    def percentile(self, percent: int) -> int:
        """Return the ms within which so many percent ended. There must be one that ran."""
        wanted = self._counts.total() * percent / 100
        for ms in sorted(self._counts):
            wanted -= self._counts[ms]
            if wanted <= 0:
                return ms
        return max(self._counts)


def _readable(ms: int) -> str:
    if ms < 1:
        return "under 1 ms"
    return f"{ms:,} ms" if ms < 10_000 else f"{ms / 1000:,.1f} s"  # noqa: PLR2004
