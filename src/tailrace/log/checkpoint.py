"""Checkpoints: small text files that map partitions (or epochs) to offsets.

    0                         version
    2                         number of entries
    topic 0 42                topic, partition, offset     (or: epoch, start offset)
    topic 1 17                every line ends with a line feed, the last one too

Invariant: replaced in one step (written aside, renamed), so a reader sees one whole version of it. Offsets are synced
when written; epochs with the batches they tell of, because those tell them again.
A file that does not parse is MalformedCheckpoint; its owner decides, because each has a safe fallback: recover from
the start, take the first segment's base offset, or the epochs in the batches.
Source: Kafka OffsetCheckpointFile, LeaderEpochCheckpointFile, CheckpointFile.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from tailrace.base.disk import Disk, replace_unsynced, write_atomically
from tailrace.base.errors import StorageError, TailraceError
from tailrace.base.types import TopicPartition

RECOVERY_POINTS: Final = "recovery-point-offset-checkpoint"
LOG_START_OFFSETS: Final = "log-start-offset-checkpoint"
HIGH_WATERMARKS: Final = "replication-offset-checkpoint"
CLEANED_OFFSETS: Final = "cleaner-offset-checkpoint"

_VERSION: Final = "0"


class MalformedCheckpoint(TailraceError):
    """A checkpoint file is not what it should be."""

    def __init__(self, path: Path, why: str) -> None:
        super().__init__(f"{path}: {why}")
        self.path = path


def read_offsets(disk: Disk, path: Path) -> dict[TopicPartition, int]:
    """Offsets by partition; empty where the file is missing. Raises MalformedCheckpoint, StorageError."""
    offsets: dict[TopicPartition, int] = {}
    for topic, partition, offset in _read_rows(disk, path, 3):
        try:
            offsets[TopicPartition(topic, int(partition))] = int(offset)
        except ValueError:
            raise MalformedCheckpoint(path, f"not a partition and an offset: {partition} {offset}") from None
    return offsets


def write_offsets(disk: Disk, path: Path, offsets: Mapping[TopicPartition, int]) -> None:
    """Replace the file. Raises StorageError; the one before is then still there."""
    rows = [f"{topic} {partition} {offset}" for (topic, partition), offset in offsets.items()]
    rows.sort()  # as text: of 10,000 tuples it would hold up the other threads for 20 ms
    write_atomically(disk, path, _encode_rows(rows))


def read_epochs(disk: Disk, path: Path) -> list[tuple[int, int]]:
    """(epoch, start offset) rows; empty where the file is missing. Raises MalformedCheckpoint, StorageError."""
    rows = _read_rows(disk, path, 2)
    try:
        return [(int(epoch), int(start)) for epoch, start in rows]
    except ValueError:
        raise MalformedCheckpoint(path, "not an epoch and an offset") from None


def write_epochs(disk: Disk, path: Path, epochs: list[tuple[int, int]]) -> None:
    """Replace the file, unsynced. Raises StorageError; the one before is then still there."""
    replace_unsynced(disk, path, _encode_rows([f"{epoch} {start}" for epoch, start in epochs]))


def _read_rows(disk: Disk, path: Path, column_count: int) -> list[list[str]]:
    try:
        text = disk.read(path).decode("utf-8", "replace")
    except StorageError as error:
        if isinstance(error.cause, FileNotFoundError):
            return []
        raise
    lines = text.split("\n")
    if lines[0].strip() != _VERSION:
        raise MalformedCheckpoint(path, f"version {lines[0]!r} is not {_VERSION}")
    if lines[-1]:
        # A cut inside the last number leaves another number.
        raise MalformedCheckpoint(path, "its last line has no end")
    rows = [line.split(" ") for line in lines[2:] if line.strip()]
    if len(lines) < 2 or lines[1].strip() != str(len(rows)):
        raise MalformedCheckpoint(path, f"{len(rows)} entries are not as many as it says")
    for row in rows:
        if len(row) != column_count:
            raise MalformedCheckpoint(path, f"row of {len(row)} columns, not {column_count}")
    return rows


def _encode_rows(rows: list[str]) -> bytes:
    return "\n".join([_VERSION, str(len(rows)), *rows, ""]).encode()
