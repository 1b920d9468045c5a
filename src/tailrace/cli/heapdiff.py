"""`tailrace heapdiff BEFORE AFTER`: what grew in live memory between two heap profiles, the largest first.

Reads two files as `/debug/pprof/heap` gives them. A leak is what lives more in each later profile; what only allocates
much does not appear. Exit code 0 whatever grew.
"""

from __future__ import annotations

from pathlib import Path

import click

from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import print_json, print_table
from tailrace.observe.heap_diff import Growth, HeapDiff, NotAHeapProfile, heap_diff
from tailrace.observe.pprof import ProfileFormatError, decode
from tailrace.observe.profile import Profile


@click.command
@click.argument("before", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("after", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("-n", "--limit", type=click.IntRange(min=1), default=10, show_default=True, help="Show so many.")
@click.option("--stacks", is_flag=True, help="Show who called, too.")
@click.option("--json", "as_json", is_flag=True, help="One JSON document.")
def heapdiff(before: Path, after: Path, limit: int, stacks: bool, as_json: bool) -> None:
    """Show what lives in the heap profile AFTER and did not in BEFORE, ranked by bytes."""
    profiles = _read(before), _read(after)
    try:
        diff = heap_diff(*profiles)
    except NotAHeapProfile as error:
        raise CommandFailed(f"these are not two heap profiles: {error}.") from error
    growths = diff.growths[:limit]
    if as_json:
        print_json({"unknown_bytes": diff.unknown_bytes, "growths": [_document(growth) for growth in growths]})
    elif stacks:
        _print_stacks(growths)
    else:
        _print_growths(diff, growths)


def _read(path: Path) -> Profile:
    try:
        return decode(path.read_bytes())
    except (ProfileFormatError, OSError) as error:
        raise CommandFailed(f"cannot read {path}: {error}.") from error


def _document(growth: Growth) -> dict[str, object]:
    stack = [{"function": frame.name, "file": frame.file, "line": frame.line} for frame in growth.stack]
    return {"bytes": growth.bytes, "objects": growth.objects, "stack": stack}


def _print_growths(diff: HeapDiff, growths: list[Growth]) -> None:
    rows = []
    for growth in growths:
        leaf, caller = growth.stack[0], growth.stack[1:2]
        came_from = f"{caller[0].name}:{caller[0].line}" if caller else None
        rows.append((growth.bytes, growth.objects, f"{leaf.name}:{leaf.line}", came_from))
    print_table(("bytes", "objects", "allocated in", "called from"), rows)
    click.echo(f"\nresident memory that Python does not know of: {diff.unknown_bytes:+,} bytes")


def _print_stacks(growths: list[Growth]) -> None:
    for growth in growths:
        click.echo(f"{growth.bytes:+,} bytes, {growth.objects:+,} objects")
        for frame in growth.stack:
            click.echo(f"    {frame.name}  {frame.file}:{frame.line}")
