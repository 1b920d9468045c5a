"""The share coordinator: who may read and write a state, what the log then holds, and what is forgotten of it."""

from __future__ import annotations

from uuid import UUID

import pytest
from tests.support.share_states import KEY, TOPIC, StateBench, write

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.share_state.batches import combined
from tailrace.coordinator.share_state.limits import PRUNE_INTERVAL_MS
from tailrace.coordinator.share_state.ports import PartitionState, SharePartitionKey, StateBatch, StateSummary
from tailrace.coordinator.share_state.records import read_state_record
from tailrace.coordinator.share_state.state import ShareState, Update
from tailrace.wire.primitives import DecodeError

AVAILABLE, ACKNOWLEDGED, ARCHIVED = 0, 2, 4


def initialized(start: int = 0, state_epoch: int = 1) -> StateBench:
    bench = StateBench()
    assert bench.states.initialize_state(KEY, state_epoch, start).value is None
    return bench


def test_kafkas_text_of_a_key() -> None:
    key = SharePartitionKey("group", UUID("00112233-4455-6677-8899-aabbccddeeff"), 3)
    assert key.text == "group:ABEiM0RVZneImaq7zN3u_w:3"


def test_a_state_is_read_as_it_was_written_over_a_restart() -> None:
    bench = initialized(10)
    assert bench.states.read_state(KEY, 4).value == PartitionState(1, 10, 0)
    taken = StateBatch(12, 14, AVAILABLE, 1)
    assert bench.states.write_state(KEY, write(taken, leader_epoch=4)).value is None
    assert (
        bench.states.write_state(KEY, write(StateBatch(10, 12, ACKNOWLEDGED, 1), start=13, leader_epoch=4)).value
        is None
    )
    expected = PartitionState(1, 13, 0, (StateBatch(13, 14, AVAILABLE, 1),))
    assert bench.states.read_state(KEY, 4).value == expected
    bench.restart()
    assert bench.states.read_state(KEY, 4).value == expected
    assert bench.states.summary(KEY).value == StateSummary(1, 4, 13, 0)


def test_a_state_nobody_made_is_not_read_and_not_written() -> None:
    bench = StateBench()
    assert bench.states.read_state(KEY, 0).value is ErrorCode.INVALID_REQUEST
    assert bench.states.write_state(KEY, write()).value is ErrorCode.INVALID_REQUEST
    assert bench.states.summary(KEY).value == StateSummary(0, 0, -1, -1)
    assert bench.states.delete_state(KEY).value is None
    assert not bench.log.committed


@pytest.mark.parametrize("key", [KEY._replace(topic_id=UUID(int=8)), KEY._replace(partition=3)])
def test_partitions_that_do_not_exist_have_no_state(key: SharePartitionKey) -> None:
    bench = StateBench()
    assert bench.states.initialize_state(key, 1, 0).value is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert bench.states.summary(key).value is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_a_key_without_group_or_below_zero_is_refused() -> None:
    bench = StateBench()
    assert bench.states.read_state(KEY._replace(partition=-1), 0).value is ErrorCode.INVALID_REQUEST
    assert bench.states.summary(KEY._replace(group_id="")).value is ErrorCode.INVALID_REQUEST


def test_a_leader_that_is_none_any_more_is_fenced() -> None:
    bench = initialized()
    bench.states.read_state(KEY, 5)
    assert bench.states.read_state(KEY, 4).value is ErrorCode.FENCED_LEADER_EPOCH
    assert bench.states.write_state(KEY, write(leader_epoch=4)).value is ErrorCode.FENCED_LEADER_EPOCH
    bench.restart()
    assert bench.states.read_state(KEY, 4).value is ErrorCode.FENCED_LEADER_EPOCH
    assert isinstance(bench.states.read_state(KEY, -1).value, PartitionState), "who leads nothing may look"


def test_who_speaks_of_an_older_state_is_fenced() -> None:
    bench = initialized(state_epoch=2)
    assert bench.states.write_state(KEY, write(state_epoch=1)).value is ErrorCode.FENCED_STATE_EPOCH
    assert bench.states.initialize_state(KEY, 1, 0).value is ErrorCode.FENCED_STATE_EPOCH
    assert bench.states.initialize_state(KEY, 2, 50).value is None
    assert bench.states.read_state(KEY, 0).value == PartitionState(2, 50, 0)


def test_a_state_made_anew_forgets_what_was_known() -> None:
    bench = initialized()
    bench.states.write_state(KEY, write(StateBatch(0, 9, ACKNOWLEDGED, 1)))
    bench.states.initialize_state(KEY, 2, -1)
    assert bench.states.read_state(KEY, 0).value == PartitionState(2, -1, -1)


def test_enough_updates_make_a_snapshot() -> None:
    bench = initialized()
    for offset in range(8):
        bench.states.write_state(KEY, write(StateBatch(offset, offset, ACKNOWLEDGED, 1)))
    said = [entry.said for entry in map(read_state_record, bench.log.records(0)) if entry is not None]
    kinds = "".join("S" if isinstance(each, ShareState) else "u" for each in said)
    assert kinds == "SuuuSuuuS"
    assert [each.snapshot_epoch for each in said if each is not None] == [0, 0, 0, 0, 1, 1, 1, 1, 2]
    assert isinstance(said[-1], ShareState) and said[-1].batches == (StateBatch(0, 7, ACKNOWLEDGED, 1),)
    assert isinstance(said[1], Update) and said[1].batches == (StateBatch(0, 0, ACKNOWLEDGED, 1),)


def test_a_refused_write_changes_nothing() -> None:
    bench = initialized()
    bench.log.refusals = [ErrorCode.NOT_ENOUGH_REPLICAS]
    assert bench.states.write_state(KEY, write(start=9)).value is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert bench.states.read_state(KEY, -1).value == PartitionState(1, 0, 0)


def test_operations_on_a_key_wait_for_the_log_in_their_order() -> None:
    bench = initialized()
    bench.log.is_holding = True
    first = bench.states.write_state(KEY, write(start=1))
    second = bench.states.write_state(KEY, write(start=2))
    looked = bench.states.read_state(KEY, -1)
    assert not first.done and not second.done and not looked.done
    bench.log.is_holding = False
    bench.log.release()
    assert looked.value == PartitionState(1, 2, 0)


def test_what_no_state_needs_is_deleted() -> None:
    bench = initialized()
    other = KEY._replace(partition=1)
    bench.states.initialize_state(other, 1, 0)
    for start in range(1, 9):
        bench.states.write_state(KEY, write(start=start))
    bench.states.prune()
    assert bench.log.start == {0: 1}, "the other's snapshot is needed"
    bench.advance(PRUNE_INTERVAL_MS)
    bench.advance(PRUNE_INTERVAL_MS)
    assert bench.log.kept() == 2, "both were written again, once"
    before = len(bench.log.committed[0])
    bench.advance(4 * PRUNE_INTERVAL_MS)
    assert len(bench.log.committed[0]) == before, "what is cold stays as it is"
    bench.restart()
    assert bench.states.read_state(KEY, -1).value == PartitionState(1, 8, 0)
    assert bench.states.read_state(other, -1).value == PartitionState(1, 0, 0)


def test_a_deleted_topic_takes_its_states_along() -> None:
    bench = initialized()
    del bench.topics[TOPIC]
    bench.states.on_topics_deleted()
    bench.restart()
    bench.states.prune()
    assert bench.log.kept() == 0


def test_a_deleted_state_is_gone_over_a_restart() -> None:
    bench = initialized()
    assert bench.states.delete_state(KEY).value is None
    bench.restart()
    assert bench.states.read_state(KEY, 0).value is ErrorCode.INVALID_REQUEST


def test_who_does_not_lead_says_so() -> None:
    bench = initialized()
    bench.states.unload(0)
    assert bench.states.read_state(KEY, 0).value is ErrorCode.NOT_COORDINATOR


def test_a_partition_nobody_can_read_is_not_served() -> None:
    bench = initialized()
    bench.log.committed[0].append(CoordinatorRecord(b"\x00\x00\x00", b""))
    with pytest.raises(DecodeError):
        bench.restart()


@pytest.mark.parametrize(
    ("batches", "start", "expected"),
    [
        ([(0, 9, 0, 1), (5, 7, 2, 1)], -1, [(0, 4, 0, 1), (5, 7, 2, 1), (8, 9, 0, 1)]),
        ([(0, 4, 2, 1), (5, 9, 2, 1)], -1, [(0, 9, 2, 1)]),
        ([(0, 4, 2, 1), (6, 9, 2, 1)], -1, [(0, 4, 2, 1), (6, 9, 2, 1)]),
        ([(0, 9, 0, 2), (3, 12, 4, 1)], -1, [(0, 9, 0, 2), (10, 12, 4, 1)]),
        ([(0, 9, 0, 1), (10, 19, 0, 1), (5, 14, 4, 5)], 2, [(2, 4, 0, 1), (5, 14, 4, 5), (15, 19, 0, 1)]),
        ([(0, 9, 2, 1)], 10, []),
    ],
)
def test_batches_put_together(
    batches: list[tuple[int, int, int, int]], start: int, expected: list[tuple[int, int, int, int]]
) -> None:
    assert [tuple(batch) for batch in combined([StateBatch(*batch) for batch in batches], start)] == expected
