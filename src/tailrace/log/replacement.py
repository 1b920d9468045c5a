"""The swap of a cleaned segment for those it was made from: renames in an order that a crash may cut anywhere.

    1. <base>.*.cleaned  ->  <base>.*.swap      from here on the next start finishes what is left to do
    2. every old file    ->  *.deleted
    3. <base>.*.swap     ->  <base>.*

Cut in 1, the next start drops the output: the old segments are all there. Cut in 2 or 3, it removes what is left of
the old segments and does 3 (`recovery`). Names of one directory reach the device in the order they were changed, as on
ext4, XFS and APFS; contents were synced before 1. A rename that fails is undone with those before it.
Source: Kafka LocalLog.replaceSegments.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, Protocol

from tailrace.base.disk import Disk
from tailrace.log.filenames import CLEANED_SUFFIX, SWAP_SUFFIX
from tailrace.log.files import deleted_path


class RunningCleaning(Protocol):
    """A cleaning that reads a log's files in another thread."""

    def interrupt(self) -> None:
        """The files or settings are about to change: stop, and put nothing in place. May be called again."""
        ...


class Renames(NamedTuple):
    """The renames of one replacement, in order, and what the old files are called after them."""

    steps: list[tuple[Path, Path]]
    doomed: list[Path]


def replacement_renames(disk: Disk, new: Sequence[Path], old: Sequence[Path]) -> Renames:
    """How the segment whose files will be `new` (.log first) takes the place of the files `old`. Missing ones are
    left out. Raises StorageError."""
    present = [path for path in new if disk.stat(_suffixed(path, CLEANED_SUFFIX)) is not None]
    replaced = [path for path in old if disk.stat(path) is not None]
    steps = [(_suffixed(path, CLEANED_SUFFIX), _suffixed(path, SWAP_SUFFIX)) for path in present]
    steps += [(path, deleted_path(path)) for path in replaced]
    steps += [(_suffixed(path, SWAP_SUFFIX), path) for path in present]
    return Renames(steps, [deleted_path(path) for path in replaced])


def _suffixed(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)
