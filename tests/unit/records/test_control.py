"""End of transaction markers."""

from __future__ import annotations

import pytest

from tailrace.base.errors import KafkaError
from tailrace.records.batch import RecordBatch
from tailrace.records.builder import build_batch
from tailrace.records.control import EndTxnMarker, build_end_txn_marker, end_txn_marker
from tailrace.records.record import Record


@pytest.mark.parametrize("marker", [EndTxnMarker(True, 3), EndTxnMarker(False, 0)])
def test_marker_comes_back(marker: EndTxnMarker) -> None:
    batch = RecordBatch.parse(memoryview(build_end_txn_marker(9, 4, marker, 1000, base_offset=5)))
    assert end_txn_marker(batch) == marker
    assert (batch.is_control, batch.is_transactional, batch.record_count) == (True, True, 1)
    assert (batch.producer_id, batch.producer_epoch, batch.base_sequence, batch.base_offset) == (9, 4, -1, 5)
    assert batch.crc_valid()


def test_markers_have_kafkas_bytes() -> None:
    batch = RecordBatch.parse(memoryview(build_end_txn_marker(9, 4, EndTxnMarker(True, 258), 1000)))
    (record,) = batch.records()
    assert (record.key, record.value) == (bytes.fromhex("00000001"), bytes.fromhex("000000000102"))


def test_other_control_records_are_no_markers() -> None:
    leader_change = build_batch([Record(0, 1, b"\0\0\0\2", b"\0\0")], is_control=True)
    assert end_txn_marker(RecordBatch.parse(memoryview(leader_change))) is None


@pytest.mark.parametrize(("key", "value"), [(b"\0\0", b""), (None, b""), (b"\0\0\0\1", b"\0\0"), (b"\0\0\0\1", None)])
def test_malformed_markers_are_refused(key: bytes | None, value: bytes | None) -> None:
    batch = build_batch([Record(0, 1, key, value)], is_control=True)
    with pytest.raises(KafkaError):
        end_txn_marker(RecordBatch.parse(memoryview(batch)))
