"""Share partition: who gets which record, and what becomes of it (KIP-932, KIP-1206, KIP-1222)."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.share.requests import Acknowledgements, AcknowledgeType, AcquireWish, BatchSpan, ShareSettings
from tailrace.broker.share.share_partition import SharePartition, kept_batches
from tailrace.coordinator.share_state.ports import StateBatch

GAP, ACCEPT, RELEASE, REJECT, RENEW = AcknowledgeType
LOCK_MS = 1000


class Scene:
    """A share partition over a log of batches, without a store: what is changed is kept at once."""

    def __init__(
        self,
        *batches: tuple[int, int],
        state: Sequence[StateBatch] = (),
        start: int = 0,
        limit: int = 5,
        locks: int = 100,
    ) -> None:
        self.log = [BatchSpan(*batch) for batch in batches]
        self.now_ms = 0.0
        settings = ShareSettings(LOCK_MS, limit, locks)
        self.partition = SharePartition(start, state, settings)
        self.kept: list[StateBatch] = []

    def acquire(
        self, member: str, max_records: int = 1000, batch_size: int = 1000, is_strict: bool = False
    ) -> list[tuple[int, int, int]]:
        offset = self.partition.next_fetch_offset()
        if not self.partition.can_acquire():
            return []
        batches = [batch for batch in self.log if batch.last_offset >= offset]
        wish = AcquireWish(max_records, batch_size, is_strict)
        return [tuple(got) for got in self.partition.acquire(member, wish, offset, batches, self.now_ms)]

    def say(self, member: str, first: int, last: int, *types: int, is_kept: bool = True) -> None:
        changed = self.partition.acknowledge(member, [Acknowledgements(first, last, types)], self.now_ms)
        self.kept += kept_batches(changed)
        self.partition.complete(changed, is_kept, self.now_ms)

    def refused(self, member: str, first: int, last: int, *types: int) -> ErrorCode:
        with pytest.raises(KafkaError) as caught:
            self.say(member, first, last, *types)
        return caught.value.code

    def release(self, member: str) -> None:
        changed = self.partition.release(member)
        self.partition.complete(changed, True, self.now_ms)

    def wait(self, ms: float) -> None:
        self.now_ms += ms
        self.partition.expire(self.now_ms)
        self.partition.settle()

    @property
    def runs(self) -> list[str]:
        return [repr(run) for run in self.partition.runs]

    @property
    def start(self) -> int:
        return self.partition.start_offset


def test_two_members_share_a_partition_and_no_record_goes_to_both() -> None:
    scene = Scene((0, 9), (10, 19), (20, 29))
    assert scene.acquire("a", 10) == [(0, 9, 1)]
    assert scene.acquire("b", 15) == [(10, 29, 1)]
    assert scene.acquire("a") == []


def test_accepted_records_move_the_start_once_all_before_them_are_done() -> None:
    scene = Scene((0, 9), (10, 19))
    scene.acquire("a", 10)
    scene.acquire("b", 10)
    scene.say("b", 10, 19, ACCEPT)
    assert scene.start == 0
    assert scene.partition.delivery_complete_count == 10
    scene.say("a", 0, 9, ACCEPT)
    assert scene.start == scene.partition.end_offset == 20
    assert scene.runs == []


def test_a_released_record_comes_again_with_its_count_and_a_rejected_one_never() -> None:
    scene = Scene((0, 2))
    scene.acquire("a")
    scene.say("a", 0, 2, RELEASE, REJECT, ACCEPT)
    assert scene.acquire("b") == [(0, 0, 2)]
    scene.say("b", 0, 0, ACCEPT)
    assert scene.start == 3
    assert scene.acquire("b") == []


def test_offsets_without_records_are_done_with_when_the_member_says_so() -> None:
    scene = Scene((0, 4))
    scene.acquire("a")
    scene.say("a", 0, 4, ACCEPT, GAP, GAP, ACCEPT, ACCEPT)
    assert scene.start == 5
    assert scene.kept == [StateBatch(0, 0, 2, 1), StateBatch(1, 2, 4, 1), StateBatch(3, 4, 2, 1)]


def test_a_lock_that_runs_out_makes_records_available_until_the_delivery_limit() -> None:
    scene = Scene((0, 0), limit=2)
    assert scene.acquire("a") == [(0, 0, 1)]
    scene.wait(LOCK_MS - 1)
    assert scene.acquire("b") == []
    scene.wait(1)
    assert scene.acquire("b") == [(0, 0, 2)]
    scene.wait(LOCK_MS)
    assert scene.acquire("a") == []
    assert scene.start == 1


def test_a_renewed_lock_lasts_longer() -> None:
    scene = Scene((0, 1))
    scene.acquire("a")
    scene.wait(LOCK_MS - 1)
    scene.say("a", 0, 0, RENEW)
    scene.wait(1)
    assert scene.acquire("b") == [(1, 1, 2)]
    scene.say("a", 0, 0, ACCEPT)
    assert scene.start == 1
    assert scene.kept == [StateBatch(0, 0, 2, 1)]


def test_what_a_leaving_member_held_is_released() -> None:
    scene = Scene((0, 9), limit=2)
    scene.acquire("a")
    scene.release("a")
    assert scene.acquire("b") == [(0, 9, 2)]
    scene.release("b")
    assert scene.start == 10


def test_only_the_holder_may_acknowledge_and_only_once() -> None:
    scene = Scene((0, 9))
    assert scene.refused("a", 0, 9, ACCEPT) == ErrorCode.INVALID_RECORD_STATE
    scene.acquire("a")
    assert scene.refused("b", 0, 9, ACCEPT) == ErrorCode.INVALID_RECORD_STATE
    assert scene.refused("a", 5, 10, ACCEPT) == ErrorCode.INVALID_REQUEST
    scene.say("a", 5, 9, ACCEPT)
    assert scene.refused("a", 9, 9, ACCEPT) == ErrorCode.INVALID_RECORD_STATE
    assert scene.runs == ["0-4 ACQUIRED x1 by a", "5-9 ACKNOWLEDGED x1"]


def test_a_refused_request_changes_nothing() -> None:
    scene = Scene((0, 9), (10, 19))
    scene.acquire("a", 10)
    scene.acquire("b", 10)
    with pytest.raises(KafkaError):
        scene.partition.acknowledge(
            "a", [Acknowledgements(0, 4, [ACCEPT]), Acknowledgements(5, 12, [ACCEPT])], scene.now_ms
        )
    assert scene.partition.delivery_complete_count == 0
    scene.say("a", 0, 9, ACCEPT)
    assert scene.start == 10


def test_a_change_that_is_not_kept_is_undone() -> None:
    scene = Scene((0, 9))
    scene.acquire("a")
    scene.say("a", 0, 9, ACCEPT, is_kept=False)
    assert scene.runs == ["0-9 ACQUIRED x1 by a"]
    assert scene.start == 0


def test_a_change_that_is_not_kept_after_the_lock_ran_out_leaves_the_records_available() -> None:
    scene = Scene((0, 9))
    scene.acquire("a")
    changed = scene.partition.acknowledge("a", [Acknowledgements(0, 9, [ACCEPT])], 0)
    scene.wait(LOCK_MS)
    assert scene.acquire("b") == []
    scene.partition.complete(changed, False, scene.now_ms)
    assert scene.acquire("b") == [(0, 9, 2)]


def test_the_lock_limit_stops_new_records_but_not_released_ones() -> None:
    scene = Scene((0, 9), (10, 19), (20, 29), locks=20)
    assert scene.acquire("a", 10) == [(0, 9, 1)]
    assert scene.acquire("a", 100) == [(10, 19, 1)]
    assert not scene.partition.can_acquire()
    scene.say("a", 12, 15, RELEASE)
    assert scene.acquire("b", 100) == [(12, 15, 2)]
    assert not scene.partition.can_acquire()
    scene.say("a", 0, 9, ACCEPT)
    assert scene.acquire("b", 100) == [(20, 29, 1)]


def test_ranges_end_at_the_batch_that_fills_the_batch_size() -> None:
    scene = Scene((0, 3), (4, 7), (8, 11), (12, 12))
    assert scene.acquire("a", batch_size=5) == [(0, 7, 1), (8, 12, 1)]


def test_a_strict_limit_cuts_batches_and_the_next_fetch_begins_within() -> None:
    scene = Scene((0, 9), (10, 19))
    assert scene.acquire("a", 4, is_strict=True) == [(0, 3, 1)]
    assert scene.partition.next_fetch_offset() == 4
    assert scene.acquire("b", 10, is_strict=True) == [(4, 13, 1)]
    assert scene.acquire("b") == [(14, 19, 1)]


def test_a_record_delivered_often_comes_in_ever_smaller_company() -> None:
    scene = Scene((0, 7), (8, 9), limit=5)
    seen = []
    for _ in range(4):
        seen.append(scene.acquire("a"))
        scene.release("a")
    assert seen[:3] == [[(0, 9, 1)], [(0, 9, 2)], [(0, 9, 3)]]
    assert seen[3] == [(0, 4, 4)]


def test_a_record_on_its_last_delivery_comes_alone() -> None:
    scene = Scene((0, 9), state=[StateBatch(0, 9, 0, 4)])
    assert scene.acquire("a") == [(0, 0, 5)]
    assert scene.acquire("a") == [(1, 1, 5)]
    scene.say("a", 0, 1, RELEASE)
    assert scene.start == 2


def test_what_was_acquired_when_the_broker_ended_is_available_when_the_state_is_loaded() -> None:
    scene = Scene((0, 9), (10, 19), state=[StateBatch(4, 5, 2, 1), StateBatch(8, 9, 0, 3)], start=2, limit=10)
    assert scene.runs == ["2-3 AVAILABLE x0", "4-5 ACKNOWLEDGED x1", "6-7 AVAILABLE x0", "8-9 AVAILABLE x3"]
    assert scene.acquire("a") == [(2, 3, 1), (6, 7, 1), (8, 9, 4), (10, 19, 1)]


def test_a_state_out_of_order_is_refused() -> None:
    with pytest.raises(KafkaError) as caught:
        Scene(state=[StateBatch(4, 9, 2, 1), StateBatch(8, 9, 0, 3)])
    assert caught.value.code == ErrorCode.UNKNOWN_SERVER_ERROR


def test_offsets_below_the_start_of_the_log_are_given_up() -> None:
    scene = Scene((0, 9), (10, 19))
    scene.acquire("a", 10)
    scene.acquire("b", 10)
    scene.partition.on_log_start(15)
    assert scene.start == 15
    scene.say("a", 0, 9, ACCEPT)
    scene.say("b", 10, 19, ACCEPT)
    assert scene.start == 20
    scene.partition.on_log_start(40)
    assert (scene.start, scene.partition.end_offset) == (40, 40)


def test_a_change_under_way_below_the_start_of_the_log_ends_without_effect() -> None:
    scene = Scene((0, 9), (10, 19))
    scene.acquire("a")
    changed = scene.partition.acknowledge("a", [Acknowledgements(0, 19, [RELEASE])], 0)
    scene.partition.on_log_start(15)
    scene.partition.complete(changed, True, 0)
    assert scene.runs == ["15-19 AVAILABLE x1"]


def test_holes_between_batches_are_nobody_s_and_hold_nothing_up() -> None:
    """A compacted topic: 10-19 is gone, and 0-4 are gone after they were released."""
    scene = Scene((0, 9), (20, 29))
    assert scene.acquire("a", 10) == [(0, 9, 1)]
    assert scene.acquire("b", 10) == [(20, 29, 1)]
    scene.say("a", 0, 9, ACCEPT)
    assert scene.start == 20
    scene.say("b", 20, 29, ACCEPT)
    scene = Scene((0, 4), (5, 9))
    scene.acquire("a")
    scene.say("a", 0, 9, RELEASE)
    del scene.log[0]
    assert scene.acquire("b") == [(5, 9, 2)]
    assert scene.start == 5


def test_aborted_records_are_nobody_s() -> None:
    scene = Scene()
    scene.log = [BatchSpan(0, 4), BatchSpan(5, 9, True), BatchSpan(10, 10), BatchSpan(11, 14)]
    assert scene.acquire("a") == [(0, 4, 1), (10, 14, 1)]
    scene.say("a", 0, 4, ACCEPT)
    assert scene.start == 10
    scene = Scene()
    scene.log = [BatchSpan(0, 9, True)]
    assert scene.acquire("a") == []
    assert scene.start == 10


def test_aborted_records_whose_fate_nobody_noted_are_nobody_s_either() -> None:
    scene = Scene(state=[StateBatch(8, 9, 2, 1)])
    scene.log = [BatchSpan(0, 4), BatchSpan(5, 7, True), BatchSpan(8, 9)]
    assert scene.acquire("a") == [(0, 4, 1)]
    scene.say("a", 0, 4, ACCEPT)
    assert scene.start == 10


def test_what_is_available_of_one_batch_goes_together_unless_the_limit_is_strict() -> None:
    scene = Scene((0, 4), (5, 9), state=[StateBatch(1, 1, 2, 1), StateBatch(3, 9, 0, 1)])
    assert scene.acquire("a", 1, is_strict=True) == [(0, 0, 1)]
    assert scene.acquire("a", 1) == [(2, 2, 1), (3, 4, 2)]
    assert scene.acquire("a", 1) == [(5, 9, 2)]
