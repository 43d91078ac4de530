"""What the demo shows: steps, progress bars, and the report. Plain lines without a terminal.

Nothing is wider than 80 columns, and the table than 60, but commands, which have lines of their own
to be copied from.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict

from rich.console import Console
from rich.highlighter import JSONHighlighter
from rich.progress import Progress, ProgressColumn, Task, TaskID, TextColumn
from rich.table import Table
from rich.text import Text

from worker.demo.tally import Tally, total
from worker.demo.tenants import TENANTS
from worker.jobs.result import Result

ALL = "all"
_QUARTER = 4
_BAR = 28  # columns


class Screen:
    """Writes to stdout, whether it is a terminal or not."""

    def __init__(self) -> None:
        self._console = Console(highlight=False)
        self._is_live = self._console.is_terminal and not self._console.is_dumb_terminal

    def title(self, text: str) -> None:
        """Print a headline."""
        self._console.print(f"\n[bold]{text}[/bold]")

    def say(self, text: str = "") -> None:
        """Print a line or a paragraph, wrapped."""
        self._console.print(text)

    def commands(self, *lines: str) -> None:
        """Print lines to copy, not wrapped however long they are."""
        for line in lines:
            style = "dim" if line.lstrip().startswith("#") else "cyan"
            self._console.print(f"  {line}", style=style, markup=False, soft_wrap=True)

    @contextmanager
    def waiting(self, doing: str) -> Iterator[None]:
        """Show what is being done while the context lasts; on a terminal only."""
        if not self._is_live:
            yield
            return
        with self._console.status(f"{doing} ..."):
            yield

    @contextmanager
    def bars(self, totals: Mapping[str, int]) -> Iterator["Bars"]:
        """Show a progress bar for each name, while the context lasts.

        Without a terminal, print a line at each quarter instead.
        """
        progress = Progress(
            TextColumn("  {task.description:<9}"),
            FateColumn(),
            TextColumn("{task.completed:>5,.0f} of {task.total:>5,.0f}"),
            TextColumn("[dim]{task.fields[note]}"),
            console=self._console,
            disable=not self._is_live,
        )
        with progress:
            yield Bars(self, progress, totals)

    def legend(self) -> None:
        """Say what the colours of the bars mean, where there are some."""
        if self._is_live:
            self._console.print(
                "  [green]━━[/green] delivered  [yellow]━━[/yellow] delivered after retries  "
                "[red]━━[/red] buried"
            )

    def table(self, tallies: Mapping[str, Tally]) -> None:
        """Print the report, a row for each tenant."""
        table = Table(pad_edge=False, show_footer=True, box=None, padding=(0, 2, 0, 0))
        whole = total(list(tallies.values()))
        table.add_column("tenant", footer=ALL, no_wrap=True)
        names = ("delivered", "retries", "buried")
        for name, footer in zip(names, _cells(whole), strict=True):
            table.add_column(name, footer=footer, justify="right")
        table.add_column("its story", no_wrap=True)
        for tenant in TENANTS:
            cells = _cells(tallies[tenant.name])
            table.add_row(tenant.name, *cells, f"[dim]{tenant.story}[/dim]")
        self._console.print(table)

    def result(self, result: Result) -> None:
        """Print a result as it is stored in Redis, one field a line."""
        fields = [f"    {json.dumps(name)}: {json.dumps(v)}" for name, v in asdict(result).items()]
        text = Text("  {\n" + ",\n".join(fields) + "\n  }")
        self._console.print(JSONHighlighter()(text), soft_wrap=True)


class FateColumn(ProgressColumn):
    """A bar in colours: what was delivered at once, delivered after retries, and buried."""

    def render(self, task: Task) -> Text:
        """Return the bar of one tenant."""
        tally: Tally = task.fields["tally"]
        bar, end = Text(), 0
        at_once = tally.delivered - tally.later
        for colour, count in (("green", at_once), ("yellow", tally.later), ("red", tally.dead)):
            start, end = end, end + count
            bar.append("━" * (_columns(end, task) - _columns(start, task)), colour)
        return bar.append("━" * (_BAR - len(bar)), "bright_black")


def _columns(jobs: int, task: Task) -> int:
    return round(_BAR * jobs / (task.total or 1))


class Bars:
    """The progress bars on the screen."""

    def __init__(self, screen: Screen, progress: Progress, totals: Mapping[str, int]) -> None:
        self._screen = screen
        self._progress = progress
        self._totals = totals
        self._bars: dict[str, TaskID] = {
            name: progress.add_task(name, total=jobs, note="", tally=Tally())
            for name, jobs in totals.items()
        }
        self._quarters = 0

    def show(self, tallies: Mapping[str, Tally], notes: Mapping[str, str]) -> None:
        """Move the bars to these tallies, with a note beside each."""
        every = {ALL: total(list(tallies.values())), **tallies}
        for name, bar in self._bars.items():
            tally = every[name]
            self._progress.update(bar, completed=tally.done, tally=tally, note=notes.get(name, ""))
        done = every[ALL].done
        quarters = done * _QUARTER // self._totals[ALL]
        if self._progress.disable and quarters > self._quarters:
            each = ", ".join(f"{name} {tally.done:,}" for name, tally in tallies.items())
            self._screen.say(f"  {done:,} of {self._totals[ALL]:,}: {each}")
        self._quarters = quarters


def _cells(tally: Tally) -> list[str]:
    return [f"{tally.delivered:,}", f"{tally.retries:,}", f"{tally.dead:,}"]
