"""Tables on a terminal, however narrow."""

from typing import Any

from worker.cli.common import on_terminal, wants_colours
from worker.runtime.printable import printable

_GAP = 2
# A column of text is folded to no fewer characters; where that does not fit, rows become blocks.
_LEAST = 12
_NO_TERMINAL = 1000  # columns where nobody's window is


class Table:
    """Rows under headings. The columns in `numbers` stand to the right and are never folded."""

    def __init__(self, *columns: str, numbers: tuple[str, ...] = ()) -> None:
        self._columns = columns
        self._numbers = numbers
        self._rows: list[list[str]] = []

    def add(self, *values: object) -> None:
        """Add a row."""
        self._rows.append([printable(str(value)) for value in values])

    def print(self) -> None:
        """Print as wide as the terminal is: as a table, or as a block of lines for each row."""
        from rich.console import Console

        console = Console(width=None if on_terminal() else _NO_TERMINAL, highlight=False)
        if self._narrowest() <= console.width:
            console.print(self._grid())
        else:
            self.print_blocks()

    def print_blocks(self) -> None:
        """Print a block of lines for each row, a line for each column."""
        from rich.console import Console

        console = Console(highlight=False)
        widest = max(map(len, self._columns))
        for number, row in enumerate(self._rows):
            if number:
                console.print()
            for name, value in zip(self._columns, row, strict=True):
                # The terminal wraps what is long, so that it can be copied in one piece.
                console.print(f"{name:<{widest}}  {value}", markup=False, soft_wrap=True)

    def _grid(self) -> Any:
        from rich.table import Table as Grid
        from rich.text import Text

        style = "bold" if wants_colours() else ""
        grid = Grid(box=None, pad_edge=False, padding=(0, _GAP, 0, 0), header_style=style)
        for name in self._columns:
            if name in self._numbers:
                grid.add_column(name, justify="right", no_wrap=True)
            else:
                grid.add_column(name, overflow="fold")
        for row in self._rows:
            grid.add_row(*map(Text, row))  # what looks like markup in it is not
        return grid

    def _narrowest(self) -> int:
        from rich.cells import cell_len

        widths = [
            (name, max(map(cell_len, (name, *cells))))
            for name, *cells in zip(self._columns, *self._rows, strict=True)
        ]
        least = [w if name in self._numbers else min(w, _LEAST) for name, w in widths]
        return sum(least) + _GAP * (len(least) - 1)
