"""What a command prints: a table for people, JSON for scripts, never both.

JSON is one document on one line, UTF-8, with keys that do not change between releases. A table is aligned columns; on
a terminal it is drawn by rich, in a pipe it is plain text padded with spaces, so that `awk` and `cut` can read it.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from typing import Any

import click


def print_json(document: Any) -> None:  # any JSON value
    """One JSON document on one line of stdout."""
    click.echo(json.dumps(document, ensure_ascii=False))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]], *, title: str = "") -> None:
    """Rows under upper-case column names; numbers to the right, None as `-`."""
    if sys.stdout.isatty():
        from tailrace.cli.drawing import draw_table  # start-up time: rich costs 80 ms

        draw_table(columns, rows, title)
        return
    if title:
        click.echo(title)
    lines = [[name.upper() for name in columns], *([_text(cell) for cell in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    numeric = [is_numeric(rows, index) for index in range(len(columns))]
    for line in lines:
        padded = (
            text.rjust(width) if right else text.ljust(width)
            for text, width, right in zip(line, widths, numeric, strict=True)
        )
        click.echo("  ".join(padded).rstrip())


def is_numeric(rows: Sequence[Sequence[object]], index: int) -> bool:
    """Whether a column holds numbers (and None), so that it goes to the right."""
    return bool(rows) and all(row[index] is None or isinstance(row[index], int | float) for row in rows)


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
