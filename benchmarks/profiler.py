"""Where each microsecond of a job goes: one worker under load, looked at by py-spy a thousand times
a second, its samples shared out among the parts.
"""

import shutil
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.rows.row import Sizes
from benchmarks.world import Failed, World, make_jobs, open_world, push, wait_for

_RATE = 1_000  # looks a second
_SECONDS = 5
# As in the row `throughput`, which is over before hot config is read again. While py-spy looks,
# jobs take their time and a refresh does not, so that its share would be overstated.
_QUIET = {"WORKER_CONFIG_TTL": 600}

# The first that fits the innermost frame which fits any.
_PARTS: tuple[tuple[str, Callable[[str], bool]], ...] = (
    ("decode the job", lambda f: "worker/job.py" in f),
    ("find, start and stop runs: the task, its time limit", lambda f: "worker/runs.py" in f),
    ("admit, hand over, keep count", lambda f: _in(f, "pump.py", "holdings.py", "run.py")),
    ("config: look-up and view", lambda f: _in(f, "config.py", "item.py", "binding.py")),
    ("result to JSON, outcome", lambda f: "worker/outcome.py" in f),
    ("the handler and its meter", lambda f: "benchmarks/" in f),
    ("validate, run the handler, judge", lambda f: "worker/executor.py" in f),
    ("arguments for Redis", lambda f: _in(f, "worker/queue.py", "worker/keys.py")),
    ("redis-py: pack, send, read, parse", lambda f: _in(f, "redis/", "scripts.py", "hiredis")),
    ("watchdog, heartbeat, recoverer", lambda f: _in(f, "watchdog", "heartbeat", "recoverer")),
    ("the event loop", lambda f: _in(f, "asyncio/", "uvloop", "anyio", "runners.py")),
)


def profile(handler: str) -> str:
    """A table of the parts, in microseconds of CPU a job."""
    sizes = Sizes()
    if shutil.which("py-spy") is None:
        raise Failed("py-spy is missing: uv run --group benchmarks python -m benchmarks profile")
    with open_world() as world, TemporaryDirectory() as folder:
        cpu = _unprofiled(world, handler, sizes)
        stacks = _sampled(world, handler, sizes, Path(folder) / "stacks.txt")
    return _table(handler, cpu, stacks)


def _unprofiled(world: World, handler: str, sizes: Sizes) -> float:
    """Microseconds of CPU a job, with nobody looking."""
    push(world, make_jobs(sizes.warm + sizes.jobs, handler))
    meter = world.metered(world.worker(), warm=sizes.warm, jobs=sizes.jobs, **_QUIET)
    world.empty()
    return meter.figures["cpu_us"]


def _sampled(world: World, handler: str, sizes: Sizes, out: Path) -> Counter[str]:
    """How often which stack was seen, start-up left out."""
    push(world, make_jobs(sizes.warm + 10 * sizes.jobs, handler))
    with world.running(world.worker(), **_QUIET) as child:
        enough = 10 * sizes.jobs
        wait_for(lambda: world.redis.llen("jobs") < enough, child)
        # --gil: looks at when Python runs, and so uses the processor; the rest is waiting.
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
        for part, fits in _PARTS:
            if fits(frame):
                return part
    return "else"


def _in(frame: str, *names: str) -> bool:
    return any(name in frame for name in names)
