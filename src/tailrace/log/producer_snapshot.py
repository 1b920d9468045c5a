"""Producer state on disk: `<offset>.snapshot` is the state of the batches below that offset.

    | version i16 = 1 | crc u32: CRC-32C of all that follows | count i32
    | { producer_id i64 | epoch i16 | last_sequence i32 | last_offset i64 | offset_delta i32 | timestamp i64
      | coordinator_epoch i32 | current_txn_first_offset i64 } ...

Only the last batch of a producer is kept, so a restart narrows the window of recognised retries to one batch.
A snapshot that does not parse is dropped and the one before it taken, with more batches to read again.
Source: Kafka ProducerStateManager, ProducerSnapshot.json.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from tailrace.log.producer_state import BatchMetadata, ProducerEntry
from tailrace.records.crc import crc32c

_VERSION: Final = 1
_HEAD: Final = struct.Struct(">hI")
_COUNT: Final = struct.Struct(">i")
_ENTRY: Final = struct.Struct(">qhiqiqiq")


def encode_snapshot(entries: Iterable[ProducerEntry]) -> bytes:
    """The file's bytes."""
    rows = [
        _ENTRY.pack(
            entry.producer_id,
            entry.producer_epoch,
            entry.last_sequence,
            entry.last_offset,
            entry.batches[-1].offset_delta if entry.batches else 0,
            entry.last_timestamp,
            entry.coordinator_epoch,
            entry.current_txn_first_offset,
        )
        for entry in entries
    ]
    body = _COUNT.pack(len(rows)) + b"".join(rows)
    return _HEAD.pack(_VERSION, crc32c(body)) + body


def decode_snapshot(data: bytes) -> list[ProducerEntry] | None:
    """The producers in a snapshot file's bytes; None where it is torn, corrupt or of another version."""
    if len(data) < _HEAD.size + _COUNT.size:
        return None
    version, crc = _HEAD.unpack_from(data)
    body = data[_HEAD.size :]
    count = _COUNT.unpack_from(body)[0]
    if version != _VERSION or crc32c(body) != crc or len(body) != _COUNT.size + count * _ENTRY.size:
        return None
    return [_entry(fields) for fields in _ENTRY.iter_unpack(body[_COUNT.size :])]


def _entry(fields: tuple[int, ...]) -> ProducerEntry:
    producer_id, epoch, last_sequence, last_offset, offset_delta, timestamp, coordinator_epoch, first_offset = fields
    entry = ProducerEntry(producer_id)
    entry.producer_epoch = epoch
    entry.last_timestamp = timestamp
    entry.coordinator_epoch = coordinator_epoch
    entry.current_txn_first_offset = first_offset
    if last_offset >= 0:
        entry.batches.append(BatchMetadata(last_sequence, last_offset, offset_delta, timestamp))
    return entry
