"""What a command prints: a table for people, JSON for scripts, never both.

JSON is one document on one line, UTF-8, with keys that do not change between releases. A table is aligned columns; on
a terminal it is drawn by rich, in a pipe it is plain text padded with spaces, so that `awk` and `cut` can read it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any, Final

import click

NUMERIC: Final = (int, float)


def print_json(document: Any) -> None:  # any JSON value
    """One JSON document on one line of stdout."""
    click.echo(json.dumps(document, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Rows under upper-case column names; numbers to the right, None as `-`."""
    if sys.stdout.isatty():
        _draw(columns, rows, title)
        return
    if title:
        click.echo(title)
    cells = [[_text(cell) for cell in row] for row in rows]
    widths = [max(len(name), *(len(row[index]) for row in cells)) if cells else len(name)
              for index, name in enumerate(columns)]  # fmt: skip
    click.echo("  ".join(name.upper().ljust(width) for name, width in zip(columns, widths, strict=True)).rstrip())
    for row, line in zip(rows, cells, strict=True):
        aligned = [
            text.rjust(width) if isinstance(cell, NUMERIC) else text.ljust(width)
            for cell, text, width in zip(row, line, widths, strict=True)
        ]
        click.echo("  ".join(aligned).rstrip())


def note(message: str) -> None:
    """A line for people, on stderr, so that stdout stays what was asked for."""
    click.echo(message, err=True)


def plural(count: int, noun: str) -> str:
    """`1 record`, `2,000 records`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def size_text(size_bytes: float) -> str:
    """`512 B`, `1.5 KB`, `3.2 MB`: powers of 1000, as disks and networks are sold."""
    for unit in ("B", "KB", "MB", "GB"):
        if size_bytes < 1000:
            return f"{size_bytes:.0f} {unit}" if unit == "B" else f"{size_bytes:.1f} {unit}"
        size_bytes /= 1000
    return f"{size_bytes:.1f} TB"


def _text(cell: object) -> str:
    return "-" if cell is None else str(cell)


def _draw(columns: Sequence[str], rows: Sequence[Sequence[object]], title: str) -> None:
    from rich.console import Console  # costs 80 ms, which a pipe and --json need not pay
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False, header_style="bold", title=title or None, title_justify="left")
    for index, name in enumerate(columns):
        numeric = bool(rows) and all(row[index] is None or isinstance(row[index], NUMERIC) for row in rows)
        table.add_column(name.upper(), justify="right" if numeric else "left", overflow="fold")
    for row in rows:
        table.add_row(*(Text(_text(cell)) for cell in row))
    Console().print(table)
