"""The bars of the demo: green, yellow, red by what became of a tenant's jobs."""

from io import StringIO

import pytest
from rich.console import Console
from rich.progress import Progress

from worker.demo.screen import FateColumn
from worker.demo.tally import Tally

pytestmark = pytest.mark.once


@pytest.mark.parametrize(
    ("tally", "parts"),
    [
        (Tally(), [(28, "bright_black")]),
        (Tally(delivered=28), [(28, "green")]),
        (Tally(delivered=14, later=7), [(7, "green"), (7, "yellow"), (14, "bright_black")]),
        (Tally(delivered=14, later=14, dead=14), [(14, "yellow"), (14, "red")]),
        (Tally(dead=28), [(28, "red")]),
    ],
)
def test_a_bar_is_as_long_as_the_jobs_are_many(tally: Tally, parts: list[tuple[int, str]]) -> None:
    with Progress(console=Console(file=StringIO())) as progress:
        task = progress.add_task("t", total=28, tally=tally)
        bar = FateColumn().render(progress.tasks[task])
    shown = [
        (span.end - span.start, str(span.style)) for span in bar.spans if span.end > span.start
    ]
    assert shown == parts
    assert bar.plain == "━" * 28
