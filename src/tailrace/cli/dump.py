"""`tailrace dump FILE...`: what is inside the files of a log directory, Kafka's or ours, they are the same.

Reads files only, opens none for writing, and needs no broker. Each kind of file becomes a stream of entries, dicts
with stable keys, which are printed as one JSON object a line or as `name=value` words. Exit code 1 when something in a
file is damaged; what could be read before the damage is printed first.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import click

from tailrace.cli.byte_text import quoted
from tailrace.cli.dump_log import SegmentRules, read_segment
from tailrace.cli.dump_small import READERS_BY_NAME, READERS_BY_SUFFIX, Entry
from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import plural
from tailrace.log.filenames import LOG_SUFFIX


@click.command
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False, path_type=Path),
                metavar="FILE...")  # fmt: skip
@click.option("-r", "--records", is_flag=True, help="Of a segment, also the records of every batch.")
@click.option("-o", "--offset", type=click.IntRange(min=0), default=0, help="Of a segment, only batches from there on.")
@click.option("-n", "--limit", type=click.IntRange(min=1), help="Stop after so many entries of a file.")
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
def dump(files: tuple[Path, ...], records: bool, offset: int, limit: int | None, as_json: bool) -> None:
    """Show what is inside log files: segments (.log), .index, .timeindex, .txnindex, .snapshot, checkpoints,
    partition.metadata and meta.properties.
    """
    problems: list[str] = []
    for path in files:
        if not as_json and len(files) > 1:
            click.echo(f"{path}:")
        try:
            damaged = _show(
                islice(_entries(path, SegmentRules(records=records, from_offset=offset)), limit), path, as_json
            )
        except CommandFailed as failure:
            problems.append(str(failure))
        else:
            if damaged:
                problems.append(f"{path} is damaged in {plural(damaged, 'place')}, shown above.")
    if problems:
        raise CommandFailed("\ntailrace: ".join(problems))


def _show(entries: Iterable[Entry], path: Path, as_json: bool) -> int:
    """Print the entries; returns how many were damage."""
    damaged = 0
    for entry in entries:
        damaged += entry["kind"] == "damage"
        if as_json:
            click.echo(json.dumps({"file": str(path), **entry}, ensure_ascii=False))
        else:
            _print_entry(entry)
    return damaged


def _entries(path: Path, rules: SegmentRules) -> Iterator[Entry]:
    reader = READERS_BY_NAME.get(path.name) or READERS_BY_SUFFIX.get(path.suffix)
    try:
        if path.suffix == LOG_SUFFIX:
            yield from read_segment(path, rules)
        elif reader is not None:
            yield from reader(path)
        else:
            known = " ".join([LOG_SUFFIX, *READERS_BY_SUFFIX, *READERS_BY_NAME])
            raise CommandFailed(f"cannot tell what {path} is; known are {known}.")
    except OSError as failure:
        raise CommandFailed(f"cannot read {path}: {failure.strerror}.") from failure


def _print_entry(entry: Entry) -> None:
    records = entry.get("records", ())
    words = [f"{name}={_word(value)}" for name, value in entry.items() if name not in ("kind", "records")]
    click.echo(f"{entry['kind']:9} {' '.join(words)}")
    for record in records:
        click.echo("  record  " + " ".join(f"{name}={_word(value)}" for name, value in record.items()))


def _word(value: Any) -> str:  # a JSON value
    match value:
        case None:
            return "null"
        case bool():
            return str(value).lower()
        case str():
            return quoted(value)
        case dict() | list():
            return json.dumps(value, ensure_ascii=False)
    return str(value)
