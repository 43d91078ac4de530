"""Compares the working tree with another revision of this repository, pair by pair."""

import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from benchmarks.figures import Measured, Record
from benchmarks.revisions import THIS, Revision
from benchmarks.rows import footprint, latency, throughput
from benchmarks.rows.row import Measurement, Pair

ALLOWED = 0.03  # worse by so large a share, beyond the noise, is worse
_RESAMPLES = 2_000
_SURE = 0.95  # of the resamples lie within the noise


@dataclass(frozen=True)
class Figure:
    """A figure that is compared. `more` says that more of it is better."""

    name: str
    key: str
    pattern: str
    more: bool = False


@dataclass(frozen=True)
class Comparison:
    """How one of our workers is measured, and the figures that are compared."""

    measure: Callable[[Pair], Record]
    figures: tuple[Figure, ...]


def _throughput(pair: Pair) -> Record:
    return throughput.ours(pair, "noop", pair.sizes.jobs)


def _pickup(pair: Pair) -> Record:
    world = pair.world
    return latency.probe(pair, world.worker(), world.command("benchmarks.produce"))


def _roundtrip(pair: Pair) -> Record:
    return latency.timed(pair.world, pair.world.worker(), "roundtrip", pair.sizes.probes)


def _startup(pair: Pair) -> Record:
    starts = [footprint.ready(pair) for _ in range(pair.sizes.starts)]
    return {key: statistics.median(start[key] for start in starts) for key in starts[0]}


COMPARISONS = {
    "throughput": Comparison(
        _throughput,
        (
            Figure("jobs/s", "jobs_per_s", "{:,.0f}", more=True),
            Figure("CPU a job, µs", "cpu_us", "{:.1f}"),
        ),
    ),
    "pickup": Comparison(_pickup, (Figure("p50, µs", "p50_us", "{:,.0f}"),)),
    "roundtrip": Comparison(_roundtrip, (Figure("p50, µs", "p50_us", "{:,.0f}"),)),
    "idle": Comparison(
        footprint.idle,
        (
            Figure("% of a core", "cores_percent", "{:.2f}"),
            Figure("commands a second", "commands_per_s", "{:.2f}"),
        ),
    ),
    "startup": Comparison(
        _startup, (Figure("ready, s", "seconds", "{:.2f}"), Figure("CPU, s", "cpu_s", "{:.2f}"))
    ),
}


def measurements(row: str, pair: Pair, revisions: Sequence[Revision]) -> Iterator[Measurement]:
    """Measure each revision in turn; who begins changes with each pair."""
    measure = COMPARISONS[row].measure
    for revision in revisions if pair.number % 2 == 0 else reversed(revisions):
        own = Pair(revision.world(pair.world), pair.sizes, [], pair.number)
        yield revision.name, lambda own=own: measure(own)  # type: ignore[misc]


def markdown(records: list[Record]) -> str:
    """Return the table of ratios, with a verdict for each figure."""
    known = next(record for record in records if record["row"] == "facts")
    base = known["against"]
    promise = f"no worse than {100 * ALLOWED:.0f} % beyond its noise"
    intro = (
        f"The working tree beside {base}, {known['pairs']} pairs. Ratios are made within pairs; "
        "the table has their median, and the noise of that median (95 %, bootstrap)."
    )
    head = f"| row | | {base} | {THIS} | ratio | noise | {promise} |"
    lines = [intro, "", head, "|---|---|---|---|---|---|---|"]
    for name, comparison in COMPARISONS.items():
        seen = Measured(record for record in records if record["row"] == name)
        for number, figure in enumerate(comparison.figures if seen.records else ()):
            first = f"`{name}`" if number == 0 else ""
            lines.append(f"| {first} | {figure.name} | {_cells(seen, figure, base)} |")
        lines += [
            f"| | | {who} failed | {why[-200:]} | | | |" for who, why in seen.failures.items()
        ]
    return "\n".join(lines) + "\n"


def _cells(seen: Measured, figure: Figure, base: str) -> str:
    theirs, ours = seen.of(base, figure.key), seen.of(THIS, figure.key)
    ratios = seen.ratios(THIS, base, figure.key)
    if not (theirs and ours and ratios):
        return "not run | not run | - | - | -"
    ratio, noise = statistics.median(ratios), noise_of(ratios)
    return " | ".join(
        [
            figure.pattern.format(theirs.median),
            figure.pattern.format(ours.median),
            f"{ratio:.3f}",
            "-" if noise is None else f"± {noise:.3f}",
            verdict(ratio, noise, more=figure.more),
        ]
    )


def noise_of(ratios: Sequence[float]) -> float | None:
    """Return how far the median of such ratios may be off: half the width of the interval that
    holds 95 % of the medians of resamples. None for a single pair, which shows no noise.
    """
    if len(ratios) < 2:
        return None
    draw = random.Random(0)
    medians = sorted(
        statistics.median(draw.choices(ratios, k=len(ratios))) for _ in range(_RESAMPLES)
    )
    outside = int(_RESAMPLES * (1 - _SURE) / 2)
    return (medians[-1 - outside] - medians[outside]) / 2


def verdict(ratio: float, noise: float | None, *, more: bool) -> str:
    """Say whether this version is worse, by more than is allowed and the noise explains."""
    if noise is None:
        return "-"
    worse_by = 1 - ratio if more else ratio - 1
    return "yes" if worse_by <= ALLOWED + noise else "**no**"
