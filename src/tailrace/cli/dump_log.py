"""A segment's batches and records, read straight from the file.

The file is mapped, not loaded: a segment of any size costs no memory. A batch whose checksum fails is reported and
stepped over; a length that makes no sense ends the reading, because nothing after it can be found.
"""

from __future__ import annotations

import mmap
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tailrace.base.errors import KafkaError
from tailrace.cli.byte_text import header_to_json, put_bytes
from tailrace.cli.dump_group import describe_group_record
from tailrace.cli.dump_transaction import describe_transaction_record
from tailrace.records.batch import HEADER_SIZE, RecordBatch
from tailrace.records.control import end_txn_marker
from tailrace.records.record import Record

Entry = dict[str, Any]

Describe = Callable[[bytes | None, bytes | None], dict[str, Any] | None]

DESCRIPTIONS: Final[dict[str, Describe]] = {
    "__consumer_offsets-": describe_group_record,
    "__transaction_state-": describe_transaction_record,
}
"""The beginning of a partition's directory -> how its keys and values are put into words."""
TIMESTAMP_TYPES: Final = ("create", "log_append")


@dataclass(frozen=True, slots=True)
class SegmentRules:
    """What to show of a segment."""

    records: bool
    from_offset: int


def read_segment(path: Path, rules: SegmentRules) -> Iterator[Entry]:
    """One entry a batch, in file order; a `damage` entry where something is wrong."""
    size = path.stat().st_size
    if size == 0:
        return
    with path.open("rb") as file:
        # Never closed by hand: batches are views of it, and it goes when the last of them does.
        view = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    yield from _batches(view, rules, _description_of(path.absolute().parent.name))


def _description_of(directory: str) -> Describe | None:
    """How records of the partition in `directory` are put into words; None where they are anybody's."""
    return next((describe for prefix, describe in DESCRIPTIONS.items() if directory.startswith(prefix)), None)


def _batches(view: memoryview, rules: SegmentRules, describe: Describe | None) -> Iterator[Entry]:
    position = 0
    while position < len(view):
        try:
            batch = RecordBatch.parse(view, position)
        except KafkaError as error:
            yield _damage(position, len(view), str(error))
            return
        if batch.last_offset >= rules.from_offset:
            try:
                yield _batch_entry(batch, position, rules, describe)
            except KafkaError as error:
                yield _damage(position, len(view), str(error))
        position += batch.size


def _batch_entry(batch: RecordBatch, position: int, rules: SegmentRules, describe: Describe | None) -> Entry:
    valid = batch.crc_valid()
    entry: Entry = {
        "kind": "batch" if valid else "damage",
        "base_offset": batch.base_offset,
        "last_offset": batch.last_offset,
        "record_count": batch.record_count,
        "position": position,
        "size_bytes": batch.size,
        "codec": batch.codec.name.lower(),
        "crc": batch.crc,
        "crc_valid": valid,
        "leader_epoch": batch.partition_leader_epoch,
        "timestamp_type": TIMESTAMP_TYPES[batch.timestamp_type],
        "base_timestamp": batch.base_timestamp,
        "max_timestamp": batch.max_timestamp,
        "producer_id": batch.producer_id,
        "producer_epoch": batch.producer_epoch,
        "base_sequence": batch.base_sequence,
        "last_sequence": batch.last_sequence,
        "transactional": batch.is_transactional,
        "control": batch.is_control,
    }
    if batch.is_control and valid:
        marker = end_txn_marker(batch)
        if marker is not None:
            entry["marker"] = "commit" if marker.is_commit else "abort"
            entry["coordinator_epoch"] = marker.coordinator_epoch
    if rules.records and valid:
        told = None if batch.is_control else describe  # a marker is of no topic's own kind
        entry["records"] = [_record_entry(record, told) for record in batch.records()]
    return entry


def _record_entry(record: Record, describe: Describe | None) -> Entry:
    entry: Entry = {"offset": record.offset, "timestamp": record.timestamp}
    if describe is not None:
        described = describe(record.key, record.value)
        if described is not None:
            return entry | described
    put_bytes(entry, "key", record.key)
    put_bytes(entry, "value", record.value)
    if record.headers:
        entry["headers"] = [header_to_json(name, value) for name, value in record.headers]
    return entry


def _damage(position: int, size: int, reason: str) -> Entry:
    torn = size - position < HEADER_SIZE
    hint = "a torn tail, as an unclean stop leaves it" if torn else "recovery would cut the segment here"
    return {"kind": "damage", "position": position, "bytes_left": size - position, "reason": f"{reason}; {hint}"}
