"""Cost as work grows: jobs a second and CPU a job, drawn to `plots/*.svg`.

uv run --group benchmarks python -m benchmarks plots
"""

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from matplotlib.axes import Axes

from benchmarks.figures import Record
from benchmarks.rows.row import QUICK, Pair, Sizes
from benchmarks.rows.throughput import drained
from benchmarks.world import World, make_jobs, open_world, push

_FOLDER = Path(__file__).parent / "plots"
_PAIRS = 3
_NAMES = {"worker": "worker", "bare": "bare loop"}
_COLORS = {"worker": "#0b7285", "bare": "#adb5bd"}


@dataclass(frozen=True)
class Plot:
    """One growing thing: its values, who is measured, and how."""

    name: str
    label: str
    values: Sequence[int]
    systems: Sequence[str]
    measure: Callable[[Pair, str, int], Record]


def draw(*, quick: bool) -> None:
    """Measure and draw them all."""
    mpl.rcParams.update({"svg.hashsalt": "benchmarks", "svg.fonttype": "none", "font.size": 9})
    _FOLDER.mkdir(exist_ok=True)
    with open_world() as world:
        for plot in PLOTS:
            records = list(_measured(world, plot, quick=quick))
            if not quick:
                _draw(plot, records)


def _measured(world: World, plot: Plot, *, quick: bool) -> list[Record]:
    sizes, values = (QUICK, plot.values[:1]) if quick else (Sizes(jobs=30_000), plot.values)
    records = []
    for number in range(1 if quick else _PAIRS):
        pair = Pair(world, sizes, [], number)
        for value in values:
            for system in plot.systems:
                figures = plot.measure(pair, system, value)
                records.append({"system": system, "value": value, **figures})
                print(plot.name, records[-1], flush=True)
    return records


def _draw(plot: Plot, records: list[Record]) -> None:
    figure, panels = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
    for panel, what, title in zip(
        panels, ("jobs_per_s", "cpu_us"), ("jobs a second", "CPU a job, µs"), strict=True
    ):
        _panel(panel, plot, records, what)
        panel.set_title(title, loc="left")
    panels[0].legend(frameon=False)
    # No date in the file, so that drawing the same again changes nothing.
    figure.savefig(_FOLDER / f"{plot.name}.svg", metadata={"Date": None})
    plt.close(figure)


def _panel(panel: Axes, plot: Plot, records: list[Record], what: str) -> None:
    for system in plot.systems:
        columns = [
            sorted(r[what] for r in records if (r["system"], r["value"]) == (system, value))
            for value in plot.values
        ]
        middle = [column[len(column) // 2] for column in columns]
        color = _COLORS[system]
        panel.plot(plot.values, middle, marker="o", ms=3, color=color, label=_NAMES[system])
        least, most = [c[0] for c in columns], [c[-1] for c in columns]
        panel.fill_between(plot.values, least, most, color=color, alpha=0.2, lw=0)
    if plot.values[-1] > 10 * plot.values[0]:
        panel.set_xscale("log")
    panel.set_xlabel(plot.label)
    panel.set_ylim(bottom=0)
    panel.spines[["top", "right"]].set_visible(False)


def _on_backlog(  # noqa: PLR0913 - one measurement, by keyword
    pair: Pair,
    system: str,
    *,
    extra: int = 0,
    jobs: int | None = None,
    concurrency: int = 100,
    config_keys: int = 1_000,
    size: int = 0,
) -> Record:
    world, warm = pair.world, pair.sizes.warm
    count = jobs or pair.sizes.jobs
    payload = {"number": 1, "text": "x" * size}
    world.empty()
    push(
        world,
        make_jobs(warm + count + extra, payload=payload, config_keys=config_keys),
        page=max(1, 1_000_000 // (size + 200)),
    )
    commands = {"worker": world.worker(), "bare": world.command("benchmarks.bare", "loop")}
    return world.metered(
        commands[system], warm=warm, jobs=count, WORKER_CONCURRENCY=concurrency
    ).figures


def _concurrency(pair: Pair, system: str, value: int) -> Record:
    jobs = min(pair.sizes.jobs, 2_000 * value)
    return _on_backlog(pair, system, concurrency=value, jobs=jobs)


def _payload(pair: Pair, system: str, value: int) -> Record:
    jobs = min(pair.sizes.jobs, max(500, 200_000_000 // (value + 1)))
    return _on_backlog(pair, system, size=value, jobs=jobs)


def _config_keys(pair: Pair, system: str, value: int) -> Record:
    return _on_backlog(pair, system, config_keys=value)


def _backlog(pair: Pair, system: str, value: int) -> Record:
    return _on_backlog(pair, system, extra=value)


def _processes(pair: Pair, _: str, value: int) -> Record:
    return drained(pair.world, value * pair.sizes.jobs, value)


PLOTS = (
    Plot(
        "concurrency",
        "concurrency",
        (1, 3, 10, 30, 100, 300, 1_000),
        ("worker", "bare"),
        _concurrency,
    ),
    Plot(
        "payload",
        "bytes of payload",
        (10, 100, 1_000, 10_000, 100_000),
        ("worker", "bare"),
        _payload,
    ),
    Plot("config_keys", "config keys", (1, 10, 100, 1_000), ("worker",), _config_keys),
    Plot(
        "backlog", "pending jobs", (1_000, 10_000, 100_000, 500_000), ("worker", "bare"), _backlog
    ),
    Plot(
        "processes",
        f"worker processes ({os.cpu_count()} cores)",
        (1, 2, 3, 4),
        ("worker",),
        _processes,
    ),
)
