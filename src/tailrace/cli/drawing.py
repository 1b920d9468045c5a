"""What only a terminal gets: coloured tables and progress bars, drawn by rich.

The only importer of rich apart from `demo`'s screen. Commands import this module when they have found a terminal to
draw on, because rich costs 80 ms that a pipe and `--json` need not pay.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from tailrace.cli.output import is_numeric


def draw_table(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str) -> None:
    """A table on stdout; a column of numbers goes to the right, None is `-`."""
    table = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left")
    for index, name in enumerate(columns):
        justify: Literal["right", "left"] = "right" if is_numeric(rows, index) else "left"
        table.add_column(name.upper(), justify=justify, overflow="fold")
    for row in rows:
        table.add_row(*(Text("-" if cell is None else str(cell)) for cell in row))
    Console().print(table)


class RichBar:
    """A progress bar on stderr that leaves nothing behind; a spinner when the total is not known."""

    def __init__(self, label: str, total: int | None) -> None:
        bar = (BarColumn(), TextColumn("{task.percentage:>3.0f} %")) if total else ()
        self._progress = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            *bar,
            TimeElapsedColumn(),
            TextColumn("{task.fields[text]}"),
            console=Console(stderr=True),
            transient=True,
        )
        self._task = self._progress.add_task(label, total=total, text="")

    def start(self) -> None:
        """Begin to draw."""
        self._progress.start()

    def show(self, done: int, text: str) -> None:
        """`done` of the total, and a text beside the bar."""
        self._progress.update(self._task, completed=done, text=text)

    def stop(self) -> None:
        """Remove the bar."""
        self._progress.stop()
