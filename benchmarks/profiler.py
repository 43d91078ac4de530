"""Where each microsecond of a job goes: one worker under load, sampled by py-spy a thousand times a
second, its samples counted by the part of the code that they are in.
"""

import shutil
from collections import Counter
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows.row import Sizes
from benchmarks.world import Failed, World, make_jobs, open_world, push, wait_for

_RATE = 1_000  # samples a second
_SECONDS = 5
# As in the row `throughput`, which is over before hot config is read again. Py-spy slows jobs down
# and not the clock, so that the share of refreshes would be overstated.
_QUIET = {"WORKER_CONFIG_TTL": 600}

# The first that fits the innermost frame which fits any.
_PARTS: tuple[tuple[str, tuple[str, ...]], ...] = (
    ("decode the job", ("worker/jobs/job.py", "worker/jobs/salvage.py")),
    (
        "start and end of a run: its task, its time limit",
        ("worker/execution/job_tasks.py", "worker/execution/time_limits.py"),
    ),
    (
        "turns, slots, what is held",
        (
            *(f"worker/process/{name}.py" for name in ("exchange_loop", "turn", "slots", "held")),
            *(f"worker/process/{name}.py" for name in ("pace", "doubt", "suspects")),
            *("worker/execution/pipeline.py", "worker/execution/claimed_job.py"),
        ),
    ),
    (
        "config: look-up and view",
        (
            *("worker/config/", "worker/execution/config_step.py", "worker/jobs/config_item.py"),
            *("worker/execution/config_pace.py", "worker/execution/bound_handler.py"),
        ),
    ),
    (
        "result to JSON, outcome",
        ("worker/execution/outcomes.py", "worker/jobs/outcome.py", "worker/jobs/result.py"),
    ),
    ("the handler and its meter", ("benchmarks/",)),
    (
        "validate, run the handler",
        (
            *(f"worker/execution/{name}.py" for name in ("handler_step", "validation", "threads")),
            *("worker/execution/hooks.py", "worker/app.py"),
        ),
    ),
    ("arguments for Redis", ("worker/broker/queue.py", "worker/jobs/keys.py")),
    ("redis-py: pack, send, read, parse", ("redis/", "worker/broker/", "hiredis")),
    (
        "watchdog, heartbeat, recoverer",
        (
            *("worker/runtime/watchdog.py", "worker/process/heartbeat.py"),
            "worker/process/recoverer.py",
        ),
    ),
    ("the event loop", ("asyncio/", "uvloop", "anyio", "runners.py")),
)


def profile(handler: str) -> str:
    """Return a table of the parts, in microseconds of CPU a job."""
    sizes = Sizes()
    if shutil.which("py-spy") is None:
        raise Failed("py-spy is missing: uv run --group benchmarks python -m benchmarks profile")
    with open_world() as world, TemporaryDirectory() as folder:
        cpu = _unprofiled(world, handler, sizes)
        stacks = _sampled(world, handler, sizes, Path(folder) / "stacks.txt")
    return _table(handler, cpu, stacks)


def _unprofiled(world: World, handler: str, sizes: Sizes) -> float:
    """Return the microseconds of CPU a job, without py-spy."""
    push(world, make_jobs(sizes.warm + sizes.jobs, handler))
    meter = world.metered(world.worker(), warm=sizes.warm, jobs=sizes.jobs, **_QUIET)
    world.empty()
    return meter.figures["cpu_us"]


def _sampled(world: World, handler: str, sizes: Sizes, out: Path) -> Counter[str]:
    """Return how often each stack was seen, start-up left out."""
    push(world, make_jobs(sizes.warm + 10 * sizes.jobs, handler))
    with world.running(world.worker(), **_QUIET) as child:
        enough = 10 * sizes.jobs
        wait_for(lambda: world.redis.llen("jobs") < enough, child)
        # --gil: samples of when Python runs, and so uses the processor; the rest is waiting.
        flags = ["--gil", "--rate", str(_RATE), "--duration", str(_SECONDS), "--format", "raw"]
        world.run(["py-spy", "record", *flags, "--output", str(out), "--pid", str(child.pid)])
    stacks: Counter[str] = Counter()
    for line in out.read_text().splitlines():
        stack, _, count = line.rpartition(" ")
        stacks[stack] += int(count)
    return stacks


def _table(handler: str, cpu: float, stacks: Counter[str]) -> str:
    shares: Counter[str] = Counter()
    for stack, count in stacks.items():
        shares[_part(stack)] += count
    total = sum(shares.values())
    lines = [
        f"`{handler}`: {cpu:.1f} µs of CPU a job, {total:,} samples.",
        "",
        "| part | µs a job | share |",
        "|---|---|---|",
    ]
    lines += [
        f"| {part} | {cpu * count / total:.1f} | {100 * count / total:.0f} % |"
        for part, count in shares.most_common()
    ]
    return "\n".join(lines)


def _part(stack: str) -> str:
    for frame in reversed(stack.split(";")):
        for part, files in _PARTS:
            if any(file in frame for file in files):
                return part
    return "else"
