"""The small files beside a segment: indexes, producer snapshots, checkpoints, identities.

An offset index is held against its segment where that lies beside it: an entry that does not point at the batch that
ends with its offset is damage.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from tailrace.base.disk import RealDisk
from tailrace.base.errors import KafkaError, TailraceError
from tailrace.log import checkpoint, filenames, meta_properties, partition_metadata
from tailrace.log.offset_index import parse_entries as parse_offset_entries
from tailrace.log.producer_snapshot import decode_snapshot
from tailrace.log.time_index import parse_entries as parse_time_entries
from tailrace.log.txn_index import parse_entries as parse_txn_entries
from tailrace.records.batch import HEADER_SIZE, RecordBatch

Entry = dict[str, Any]
Reader = Callable[[Path], Iterator[Entry]]

CLEANER_CHECKPOINT: Final = "cleaner-offset-checkpoint"


def read_offset_index(path: Path) -> Iterator[Entry]:
    """Offset and position of each entry."""
    base_offset = _base_offset(path, filenames.INDEX_SUFFIX)
    segment = path.with_suffix(filenames.LOG_SUFFIX)
    relative_offsets, positions = parse_offset_entries(path.read_bytes())
    for relative_offset, position in zip(relative_offsets, positions, strict=True):
        entry: Entry = {"kind": "entry", "offset": base_offset + relative_offset, "position": position}
        reason = _mismatch(segment, entry["offset"], position) if segment.exists() else None
        yield entry if reason is None else entry | {"kind": "damage", "reason": reason}


def _mismatch(segment: Path, offset: int, position: int) -> str | None:
    """Why an index entry is wrong, or None when it is right."""
    with segment.open("rb") as file:
        file.seek(position)
        header = file.read(HEADER_SIZE)
    try:
        batch = RecordBatch.parse_header(memoryview(header))
    except KafkaError as error:
        return f"no batch at that position: {error}"
    if batch.last_offset != offset:
        return f"the batch at that position ends with offset {batch.last_offset}"
    return None


def read_time_index(path: Path) -> Iterator[Entry]:
    """Timestamp and offset of each entry."""
    base_offset = _base_offset(path, filenames.TIME_INDEX_SUFFIX)
    timestamps, relative_offsets = parse_time_entries(path.read_bytes())
    for timestamp, relative_offset in zip(timestamps, relative_offsets, strict=True):
        yield {"kind": "entry", "timestamp": timestamp, "offset": base_offset + relative_offset}


def read_txn_index(path: Path) -> Iterator[Entry]:
    """Each aborted transaction."""
    for aborted in parse_txn_entries(path.read_bytes()):
        yield {"kind": "aborted", **aborted._asdict()}


def read_snapshot(path: Path) -> Iterator[Entry]:
    """Each idempotent producer's state."""
    producers = decode_snapshot(path.read_bytes())
    if producers is None:
        yield {"kind": "damage", "reason": "torn, corrupt, or of another version"}
        return
    for producer in producers:
        last = producer.batches[-1] if producer.batches else None
        yield {
            "kind": "producer",
            "producer_id": producer.producer_id,
            "producer_epoch": producer.producer_epoch,
            "first_sequence": last.first_sequence if last else -1,
            "last_sequence": producer.last_sequence,
            "last_offset": producer.last_offset,
            "last_timestamp": producer.last_timestamp,
            "coordinator_epoch": producer.coordinator_epoch,
            "current_txn_first_offset": producer.current_txn_first_offset,
        }


def read_offset_checkpoint(path: Path) -> Iterator[Entry]:
    """Each partition's offset."""
    try:
        offsets = checkpoint.read_offsets(RealDisk(), path)
    except TailraceError as error:
        yield {"kind": "damage", "reason": str(error)}
        return
    for (topic, partition), offset in offsets.items():
        yield {"kind": "entry", "topic": topic, "partition": partition, "offset": offset}


def read_epoch_checkpoint(path: Path) -> Iterator[Entry]:
    """Each leader epoch's start offset."""
    try:
        epochs = checkpoint.read_epochs(RealDisk(), path)
    except TailraceError as error:
        yield {"kind": "damage", "reason": str(error)}
        return
    for epoch, start_offset in epochs:
        yield {"kind": "entry", "leader_epoch": epoch, "start_offset": start_offset}


def read_partition_metadata(path: Path) -> Iterator[Entry]:
    """The topic id."""
    topic_id = partition_metadata.read(RealDisk(), path.parent)
    yield {"kind": "topic", "topic_id": partition_metadata.encode_topic_id(topic_id)}


def read_meta_properties(path: Path) -> Iterator[Entry]:
    """Whose log directory it is."""
    try:
        found = meta_properties.read(RealDisk(), path.parent)
    except TailraceError as error:
        yield {"kind": "damage", "reason": str(error)}
        return
    if found is not None:
        yield {"kind": "directory", **found._asdict()}


def _base_offset(path: Path, suffix: str) -> int:
    offset = filenames.offset_of(path.name, suffix)
    return 0 if offset is None else offset


READERS_BY_SUFFIX: Final[dict[str, Reader]] = {
    filenames.INDEX_SUFFIX: read_offset_index,
    filenames.TIME_INDEX_SUFFIX: read_time_index,
    filenames.TXN_INDEX_SUFFIX: read_txn_index,
    filenames.SNAPSHOT_SUFFIX: read_snapshot,
}

READERS_BY_NAME: Final[dict[str, Reader]] = {
    checkpoint.RECOVERY_POINTS: read_offset_checkpoint,
    checkpoint.LOG_START_OFFSETS: read_offset_checkpoint,
    checkpoint.HIGH_WATERMARKS: read_offset_checkpoint,
    CLEANER_CHECKPOINT: read_offset_checkpoint,
    filenames.LEADER_EPOCHS: read_epoch_checkpoint,
    filenames.PARTITION_METADATA: read_partition_metadata,
    meta_properties.FILE_NAME: read_meta_properties,
}
