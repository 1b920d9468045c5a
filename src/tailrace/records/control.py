"""Control batches: one control record each, never shown to applications.

    key    | version i16 = 0 | type i16 |      0 abort, 1 commit, 2.. of the metadata log
    value  | version i16 = 0 | coordinator_epoch i32 |      of abort and commit

Source: Kafka ControlRecordType, EndTransactionMarker, EndTxnMarker.json.
"""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.records.batch import RecordBatch
from tailrace.records.builder import build_batch
from tailrace.records.record import Record

ABORT: Final = 0
COMMIT: Final = 1

_KEY: Final = struct.Struct(">hh")
_VALUE: Final = struct.Struct(">hi")


class EndTxnMarker(NamedTuple):
    """How a transaction ended, and the epoch of the coordinator that says so."""

    is_commit: bool
    coordinator_epoch: int


def build_end_txn_marker(
    producer_id: int, producer_epoch: int, marker: EndTxnMarker, timestamp_ms: int, base_offset: int = 0
) -> bytearray:
    """The control batch that ends the producer's transaction."""
    key = _KEY.pack(0, COMMIT if marker.is_commit else ABORT)
    value = _VALUE.pack(0, marker.coordinator_epoch)
    return build_batch(
        [Record(base_offset, timestamp_ms, key, value)],
        base_offset=base_offset,
        producer_id=producer_id,
        producer_epoch=producer_epoch,
        is_transactional=True,
        is_control=True,
    )


def end_txn_marker(batch: RecordBatch) -> EndTxnMarker | None:
    """What a control batch says of a transaction; None where it is of another kind, or was compacted to nothing.

    Raises KafkaError(CORRUPT_MESSAGE) where it does not parse.
    """
    record = next(batch.records(), None)
    if record is None:
        return None
    if record.key is None or len(record.key) < _KEY.size:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "control record without a type")
    kind = _KEY.unpack_from(record.key)[1]
    if kind not in (ABORT, COMMIT):
        return None
    if record.value is None or len(record.value) < _VALUE.size:
        raise KafkaError(ErrorCode.CORRUPT_MESSAGE, "end of transaction marker without a coordinator epoch")
    return EndTxnMarker(kind == COMMIT, _VALUE.unpack_from(record.value)[1])
