# ruff: noqa: T201 - it speaks to people
"""`python -m tests.chaos`."""

import argparse
import signal
import sys
import time
from collections import Counter
from pathlib import Path
from tempfile import mkdtemp

from tests.chaos.audit import Audit
from tests.chaos.chaos import MANY, Run, go
from tests.chaos.plan import plan


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.chaos")
    parser.add_argument("--minutes", type=float, default=1.0)
    parser.add_argument("--seed", type=int, default=None, help="default: another one each time")
    parser.add_argument("--workers", type=int, default=4)
    parser.add_argument("--producers", type=int, default=3)
    parser.add_argument("--rate", type=float, default=60.0, help="jobs a second, in all")
    parser.add_argument("--max-crashes", type=int, default=MANY, help="3, say: adds poison jobs")
    parser.add_argument("--redis-server", default=None, help="default: the embedded Valkey")
    parser.add_argument("--plan", action="store_true", help="print what would break, and when")
    chosen = parser.parse_args()
    seed = int(time.time()) if chosen.seed is None else chosen.seed
    run = Run(
        seed,
        chosen.minutes * 60,
        chosen.workers,
        chosen.producers,
        chosen.rate,
        chosen.redis_server,
        chosen.max_crashes,
    )
    if chosen.plan:
        for event in plan(run.seed, run.seconds, run.workers):
            print(f"{event.at:8.3f} to {event.until:8.3f}  {event.fault:24} {event.slot}")
        return 0
    # SIGTERM ends it as Ctrl-C does, with everything that it started; Ctrl-C also in a job of a
    # script, where shells have it ignored.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    folder = Path(mkdtemp(prefix="chaos-"))
    print(f"seed {seed}, {chosen.minutes:g} minutes", flush=True)
    try:
        report, world = go(run, folder, lambda text: print(text, flush=True))
    except KeyboardInterrupt:
        print("interrupted; nothing is left running")
        return 130
    print(figures(report, world.tally))
    for problem in report.problems[:20]:
        print("PROBLEM", problem[:1000])
    print("broken promises:", len(report.problems))
    return 1 if report.problems else 0


def figures(report: Audit, tally: Counter[str]) -> str:
    """What happened, for people."""
    lines = [f"{name:30}{count:8}" for name, count in sorted(tally.items())]
    fates = ", ".join(f"{count} {name}" for name, count in report.fates.most_common())
    each = report.runs / max(1, report.ran)
    return "\n".join(
        [
            *lines,
            f"jobs pushed                   {report.pushed:8}",
            f"of these never acknowledged and never seen {report.unacknowledged}",
            f"fates: {fates}",
            f"runs of handlers              {report.runs:8} ({each:.3f} for each that has one)",
            f"innocent, buried as crashed   {report.crashed:8}",
            f"lost                          {report.lost:8}",
            f"recorded twice                {report.recorded_twice:8}",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
