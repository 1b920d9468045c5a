"""A share partition and its store: what a store may answer, and when (KIP-932)."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast
from uuid import UUID

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.share.limits import STORE_RETRY_MS
from tailrace.broker.share.live_partition import Around, LivePartition
from tailrace.broker.share.requests import Acknowledgements, AcknowledgeType, AcquireWish, BatchSpan, ShareSettings
from tailrace.coordinator.share_state.ports import PartitionState, SharePartitionKey, StateBatch, StateWrite
from tailrace.net.timers import TimingWheel

KEY = SharePartitionKey("g", UUID(int=7), 0)
LOCK_MS = 60_000
ACCEPT = [int(AcknowledgeType.ACCEPT)]


class Store:
    """A store that answers when the test says so."""

    def __init__(self) -> None:
        self.reads: list[Pending[PartitionState | ErrorCode]] = []
        self.writes: list[tuple[StateWrite, Pending[ErrorCode | None]]] = []

    def read_state(self, key: SharePartitionKey, leader_epoch: int) -> Pending[PartitionState | ErrorCode]:
        assert key == KEY and leader_epoch == 3
        self.reads.append(Pending())
        return self.reads[-1]

    def write_state(self, key: SharePartitionKey, write: StateWrite) -> Pending[ErrorCode | None]:
        self.writes.append((write, Pending()))
        return self.writes[-1][1]

    def answer(self, code: ErrorCode | None = None) -> StateWrite:
        write, pending = self.writes.pop(0)
        pending.complete(code)
        return write


class Stage:
    def __init__(self, reset: str = "latest") -> None:
        self.clock = ManualClock()
        self.timers = TimingWheel(now_ms=self.clock.monotonic_ms(), read_ms=self.clock.monotonic_ms)
        self.store = Store()
        led = SimpleNamespace(leader_epoch=3, log_start_offset=4, high_watermark=9, offset_for=self.offset_for)
        around = Around(self.store, self.timers, self.clock, lambda group: reset)
        self.live = LivePartition(KEY, cast(Any, led), ShareSettings(LOCK_MS), around)
        self.woken = 0
        self.live.add_waiter(self.wake)
        self.asked_ms = 0

    def wake(self) -> None:
        self.woken += 1

    def offset_for(self, timestamp: int, isolation: int) -> tuple[int, int, int]:
        self.asked_ms = timestamp
        return (timestamp, 6, 0) if timestamp < self.clock.wall_ms() - 1000 else (-1, -1, -1)

    def load(self, start: int = 0, *batches: StateBatch) -> None:
        self.store.reads.pop().complete(PartitionState(5, start, 0, batches))

    def acquire(self, member: str = "m") -> list[tuple[int, int, int]]:
        assert self.live.state is not None
        offset = self.live.state.next_fetch_offset()
        got = self.live.acquire(member, AcquireWish(100, 100), offset, [BatchSpan(0, 9)])
        return [tuple(each) for each in got]

    def accept(self, first: int = 0, last: int = 9) -> Any:
        return self.live.acknowledge("m", [Acknowledgements(first, last, ACCEPT)])

    def advance(self, ms: float) -> None:
        self.clock.advance(ms)
        while self.timers.advance(self.clock.monotonic_ms()):
            pass


def test_an_acknowledgement_is_answered_when_it_is_kept() -> None:
    stage = Stage()
    stage.load()
    stage.acquire()
    outcome = stage.accept(0, 4)
    assert not outcome.done
    assert stage.store.answer() == StateWrite(5, 3, 0, 5, [StateBatch(0, 4, 2, 1)])
    assert outcome.value is None
    assert stage.live.state is not None and stage.live.state.start_offset == 5


@pytest.mark.parametrize(
    ("code", "told", "has_ended"),
    [
        (ErrorCode.COORDINATOR_LOAD_IN_PROGRESS, ErrorCode.COORDINATOR_NOT_AVAILABLE, False),
        (ErrorCode.NOT_COORDINATOR, ErrorCode.COORDINATOR_NOT_AVAILABLE, False),
        (ErrorCode.KAFKA_STORAGE_ERROR, ErrorCode.UNKNOWN_SERVER_ERROR, False),
        (ErrorCode.FENCED_STATE_EPOCH, ErrorCode.NOT_LEADER_OR_FOLLOWER, True),
        (ErrorCode.FENCED_LEADER_EPOCH, ErrorCode.NOT_LEADER_OR_FOLLOWER, True),
        (ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, True),
    ],
)
def test_a_refused_write_is_told_and_undone(code: ErrorCode, told: ErrorCode, has_ended: bool) -> None:
    stage = Stage()
    stage.load()
    stage.acquire()
    outcome = stage.accept()
    while stage.store.writes:
        stage.store.answer(code)
        stage.advance(STORE_RETRY_MS)
    assert outcome.value.code == told
    assert (stage.live.error is not None) == has_ended
    assert stage.live.state is not None
    assert [repr(run) for run in stage.live.state.runs] == ["0-9 ACQUIRED x1 by m"]
    assert stage.accept().done == has_ended


def test_nothing_is_acknowledged_before_the_state_is_read_and_after_the_end() -> None:
    stage = Stage()
    assert stage.accept().value.code == ErrorCode.INVALID_RECORD_STATE
    stage.store.reads.pop().complete(ErrorCode.FENCED_LEADER_EPOCH)
    assert stage.woken == 1
    assert stage.accept().value.code == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_a_state_that_makes_no_sense_ends_it() -> None:
    stage = Stage()
    stage.load(0, StateBatch(4, 9, 2, 1), StateBatch(0, 5, 2, 1))
    assert stage.live.error is not None and stage.live.error.code == ErrorCode.UNKNOWN_SERVER_ERROR


@pytest.mark.parametrize(
    ("reset", "start"), [("latest", 9), ("earliest", 4), ("by_duration:PT1H", 6), ("by_duration:PT0.5S", 9)]
)
def test_a_group_that_was_never_there_begins_where_it_wants(reset: str, start: int) -> None:
    stage = Stage(reset)
    stage.load(-1)
    assert stage.live.state is not None and stage.live.state.start_offset == start
    if reset.endswith("1H"):
        assert stage.asked_ms == stage.clock.wall_ms() - 3_600_000


def test_a_lock_that_ran_out_is_over_even_if_that_is_not_kept() -> None:
    stage = Stage()
    stage.load()
    stage.acquire()
    woken = stage.woken
    stage.advance(LOCK_MS + 10)
    assert stage.woken > woken
    assert stage.acquire("n") == [(0, 9, 2)]
    assert stage.store.answer(ErrorCode.NOT_COORDINATOR).batches == [StateBatch(0, 9, 0, 1)]
    assert stage.live.state is not None
    assert [repr(run) for run in stage.live.state.runs] == ["0-9 ACQUIRED x2 by n"]


def test_locks_of_different_times_run_out_each_at_its_own() -> None:
    stage = Stage()
    stage.load()
    stage.acquire()
    stage.advance(LOCK_MS - 400)
    stage.live.acknowledge("m", [Acknowledgements(5, 9, [int(AcknowledgeType.RENEW)])])
    stage.advance(410)
    assert stage.acquire("n") == [(0, 4, 2)]
    stage.advance(LOCK_MS - 420)
    assert stage.acquire("n") == []
    stage.advance(120)
    assert stage.acquire("n") == [(5, 9, 2)]


def test_an_ended_one_has_no_timer() -> None:
    stage = Stage()
    stage.load()
    stage.acquire()
    assert len(stage.timers) == 1
    stage.accept()
    stage.store.answer(ErrorCode.FENCED_STATE_EPOCH)
    assert len(stage.timers) == 0


def test_a_write_answered_after_the_end_harms_nobody() -> None:
    stage = Stage()
    stage.load()
    stage.acquire()
    first, second = stage.accept(0, 4), stage.accept(5, 9)
    stage.store.answer(ErrorCode.FENCED_STATE_EPOCH)
    stage.store.answer()
    assert first.value.code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert second.value is None


def test_a_store_that_loads_is_asked_again() -> None:
    stage = Stage()
    for _ in range(3):
        stage.store.reads.pop().complete(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        assert not stage.store.reads and stage.live.error is None
        stage.advance(STORE_RETRY_MS)
    stage.load()
    stage.acquire()
    outcome = stage.accept()
    stage.store.answer(ErrorCode.NOT_COORDINATOR)
    assert not outcome.done
    stage.advance(STORE_RETRY_MS)
    stage.store.answer()
    assert outcome.value is None


def test_an_ended_one_asks_its_store_no_more() -> None:
    stage = Stage()
    stage.store.reads.pop().complete(ErrorCode.NOT_COORDINATOR)
    stage.live.end(KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER))
    stage.advance(STORE_RETRY_MS)
    assert not stage.store.reads
