"""Idempotent producers: the five-batch window, fencing, order, snapshots. Source: replication.md 6, KIP-98."""

from __future__ import annotations

import struct

import pytest
from tests.support.log_support import START_MS, batch_of

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.producer_snapshot import decode_snapshot, encode_snapshot
from tailrace.log.producer_state import ProducerStates
from tailrace.records.batch import RecordBatch, stamp
from tailrace.records.control import EndTxnMarker, build_end_txn_marker

MAX_SEQUENCE = (1 << 31) - 1


def batch(
    sequence: int, count: int = 1, *, offset: int = 0, epoch: int = 0, transactional: bool = False
) -> RecordBatch:
    view = batch_of(count, producer_id=7, producer_epoch=epoch, base_sequence=sequence, is_transactional=transactional)
    stamp(view, offset, 0)
    return RecordBatch.parse(view)


def marker_batch(epoch: int, offset: int) -> RecordBatch:
    marker = EndTxnMarker(True, 5)
    return RecordBatch.parse(memoryview(build_end_txn_marker(7, epoch, marker, START_MS, base_offset=offset)))


def states_after(*batches: RecordBatch) -> ProducerStates:
    states = ProducerStates()
    for each in batches:
        states.check(each)
        states.update(each)
    return states


def refusal(states: ProducerStates, each: RecordBatch) -> ErrorCode:
    with pytest.raises(KafkaError) as refused:
        states.check(each)
    return refused.value.code


def test_the_last_five_batches_are_recognised() -> None:
    states = states_after(*[batch(i * 2, 2, offset=i * 2) for i in range(7)])
    found = [states.find_duplicate(batch(i * 2, 2)) for i in range(7)]
    assert [f and f.first_offset for f in found] == [None, None, 4, 6, 8, 10, 12]
    assert states.find_duplicate(batch(12, 1)) is None, "first and last sequence must both match"
    assert states.find_duplicate(batch(12, 2, epoch=1)) is None
    assert refusal(states, batch(0, 2)) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER


def test_sequences_must_follow() -> None:
    states = states_after(batch(0, 3))
    assert refusal(states, batch(4)) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    assert refusal(states, batch(2)) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    states.check(batch(3))


def test_an_unknown_producer_may_begin_anywhere() -> None:
    """Its records may have been deleted by retention."""
    states_after(batch(1234))


def test_sequences_wrap() -> None:
    states = states_after(batch(MAX_SEQUENCE - 1, 2))
    states.check(batch(0))
    spanning = states_after(batch(MAX_SEQUENCE, 3, offset=10))
    entry = spanning.get(7)
    assert entry is not None
    assert (entry.last_sequence, entry.batches[0].first_sequence, entry.last_offset) == (1, MAX_SEQUENCE, 12)
    assert spanning.find_duplicate(batch(MAX_SEQUENCE, 3)) is not None
    spanning.check(batch(2))


def test_epochs_fence() -> None:
    states = states_after(batch(0), batch(0, epoch=2))
    assert refusal(states, batch(1, epoch=1)) is ErrorCode.INVALID_PRODUCER_EPOCH
    assert refusal(states, batch(1, epoch=3)) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    states.check(batch(0, epoch=3))
    assert states.find_duplicate(batch(0, epoch=0)) is None


def test_a_marker_with_a_bumped_epoch_starts_sequences_again() -> None:
    states = states_after(batch(0, 3, transactional=True))
    assert states.first_unstable_offset == 0
    completed = states.update_marker(marker_batch(1, 3), EndTxnMarker(True, 5))
    assert completed == (7, 0, 3, False)
    assert states.first_unstable_offset == 0, "until the marker is below the high watermark"
    states.on_high_watermark(4)
    assert states.first_unstable_offset is None
    assert refusal(states, batch(3, epoch=1)) is ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER
    states.check(batch(0, epoch=1))
    with pytest.raises(KafkaError) as refused:
        states.check_marker(marker_batch(1, 9), EndTxnMarker(True, 4))
    assert refused.value.code is ErrorCode.TRANSACTION_COORDINATOR_FENCED
    with pytest.raises(KafkaError) as refused:
        states.check_marker(marker_batch(0, 9), EndTxnMarker(True, 5))
    assert refused.value.code is ErrorCode.INVALID_PRODUCER_EPOCH


def test_idle_producers_are_forgotten_unless_in_a_transaction() -> None:
    states = states_after(batch(0))
    assert states.expire(START_MS + 99, 100) == 0
    assert states.expire(START_MS + 100, 100) == 1
    assert len(states) == 0
    assert states_after(batch(0, transactional=True)).expire(START_MS + 1000, 100) == 0


def test_a_snapshot_keeps_the_last_batch() -> None:
    states = states_after(batch(0, 2, epoch=3), batch(2, 3, offset=2, epoch=3, transactional=True))
    data = encode_snapshot(states.entries())
    assert data[:2] == struct.pack(">h", 1)
    assert len(data) == 2 + 4 + 4 + 46
    entries = decode_snapshot(data)
    assert entries is not None
    again = ProducerStates()
    again.replace(entries, 5)
    assert (again.map_end_offset, again.first_unstable_offset) == (5, 2)
    assert again.find_duplicate(batch(2, 3, epoch=3)) is not None
    assert again.find_duplicate(batch(0, 2, epoch=3)) is None
    again.check(batch(5, epoch=3, transactional=True))


def test_every_cut_or_flip_of_a_snapshot_is_noticed() -> None:
    data = bytearray(encode_snapshot(states_after(batch(0)).entries()))
    for size in range(len(data)):
        assert decode_snapshot(bytes(data[:size])) is None
    for position in range(len(data)):
        data[position] ^= 0x10
        assert decode_snapshot(bytes(data)) is None, position
        data[position] ^= 0x10
    assert decode_snapshot(bytes(data)) is not None
    assert decode_snapshot(encode_snapshot([])) == []
