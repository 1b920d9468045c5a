"""The runtime around transactional ids: turns while the log waits, markers that fail, loading. What requests do is in
tests/scenario/transactions."""

from __future__ import annotations

import itertools

import pytest
from tests.scenario.group_bench import FakeGroupLog

from tailrace.base.clock import ManualClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.coordinator.limits import MARKER_RETRY_MS, RECORDS_PER_STEP
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.transactions.coordinator import Outcome, TransactionCoordinator
from tailrace.coordinator.transactions.markers import Ending
from tailrace.coordinator.transactions.records import read_record, transaction_record
from tailrace.coordinator.transactions.settings import TransactionSettings
from tailrace.coordinator.transactions.transaction import (
    ProducerIdAndEpoch,
    Transaction,
    TransactionState,
    new_transaction,
)
from tailrace.net.timers import TimingWheel
from tailrace.wire.primitives import DecodeError

T0, T1 = TopicPartition("t", 0), TopicPartition("t", 1)
TIMEOUT_MS = 60_000


class FakeMarkers:
    """MarkerWriter in memory: notes what it was asked, and keeps partitions that are not to be had."""

    def __init__(self) -> None:
        self.written: list[tuple[Ending, frozenset[TopicPartition]]] = []
        self.unreachable: frozenset[TopicPartition] = frozenset()

    def write(self, ending: Ending, partitions: frozenset[TopicPartition]) -> Pending[frozenset[TopicPartition]]:
        outcome: Pending[frozenset[TopicPartition]] = Pending()
        self.written.append((ending, partitions - self.unreachable))
        outcome.complete(partitions & self.unreachable)
        return outcome


class Bench:
    """A coordinator over one partition, a log that can hold or refuse, and time that is told."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.log, self.markers = FakeGroupLog(), FakeMarkers()
        self.producer_ids = iter(range(1000))
        self.restart(coordinator_epoch=0)

    def restart(self, coordinator_epoch: int) -> None:
        self.log.lose()
        self.timers = TimingWheel(now_ms=self.clock.monotonic_ms(), read_ms=self.clock.monotonic_ms)
        self.transactions = TransactionCoordinator(
            TransactionSettings(transaction_state_log_num_partitions=1),
            (self.log, self.markers),
            lambda: next(self.producer_ids),
            self.timers,
            self.clock,
        )
        self.transactions.load(0, coordinator_epoch, self.log)

    def advance(self, ms: int) -> None:
        self.clock.advance(ms)
        while self.timers.advance(self.clock.monotonic_ms()):
            pass

    def init(self, transactional_id: str = "x") -> Pending[Outcome]:
        return self.transactions.init_producer_id(transactional_id, TIMEOUT_MS, None)

    def add(self, *partitions: TopicPartition, epoch: int = 0) -> Pending[ErrorCode]:
        return self.transactions.add_partitions("x", ProducerIdAndEpoch(0, epoch), frozenset(partitions), 2)

    def end(self, is_commit: bool = True, epoch: int = 0) -> Pending[Outcome]:
        return self.transactions.end_transaction("x", ProducerIdAndEpoch(0, epoch), is_commit, 2)

    @property
    def state(self) -> TransactionState:
        return self.transactions.describe("x").transaction.state


def test_requests_wait_for_the_log_in_their_order() -> None:
    """While records are on their way the next request of the id waits; other ids do not."""
    bench = Bench()
    bench.init()
    bench.log.is_holding = True
    adds = [bench.add(T0), bench.add(T1)]
    ended = bench.end()
    other = bench.init("other")
    assert bench.log.held == 2, "one append of each id"
    assert not any(answer.done for answer in (*adds, ended, other))
    bench.log.is_holding = False
    bench.log.release()
    assert [answer.value for answer in adds] == [ErrorCode.NONE, ErrorCode.NONE]
    assert ended.value == Outcome(ErrorCode.NONE, 0, 1)
    assert other.value.code is ErrorCode.NONE
    assert bench.markers.written == [(Ending(0, 1, True, 0, 2), frozenset({T0, T1}))]
    assert bench.state is TransactionState.COMPLETE_COMMIT


def test_who_waits_too_long_is_refused_and_what_is_on_its_way_comes_true() -> None:
    bench = Bench()
    bench.init()
    bench.log.is_holding = True
    added = bench.add(T0)
    bench.advance(2_000)
    queued = bench.add(T1)
    bench.advance(3_000)
    assert added.value is ErrorCode.COORDINATOR_NOT_AVAILABLE, "offsets.commit.timeout.ms"
    assert not queued.done
    bench.advance(2_000)
    assert queued.value is ErrorCode.COORDINATOR_NOT_AVAILABLE
    bench.log.is_holding = False
    bench.log.release()
    assert bench.transactions.describe("x").partitions == [T0], "the second never had its turn"
    assert bench.add(T0, T1).value is ErrorCode.NONE
    assert bench.end().value == Outcome(ErrorCode.NONE, 0, 1)


def test_what_is_loading_is_left_alone_by_time() -> None:
    """Its ids are known one after the other: nothing is aborted, and no marker written, before all are."""
    bench = Bench()
    for number in range(2 * RECORDS_PER_STEP):
        bench.transactions.init_producer_id(f"id-{number}", TIMEOUT_MS, None)
    bench.init()
    producer = bench.transactions.describe("x").transaction
    identity = ProducerIdAndEpoch(producer.producer_id, producer.producer_epoch)
    assert bench.transactions.add_partitions("x", identity, frozenset({T0}), 2).value is ErrorCode.NONE
    steps = bench.transactions.load_steps(0, 1, bench.log)
    assert sum(1 for _ in itertools.islice(steps, 4)) == 4
    bench.advance(10 * TIMEOUT_MS)
    assert bench.markers.written == []
    assert bench.init().value.code is ErrorCode.COORDINATOR_LOAD_IN_PROGRESS
    for _ in steps:
        pass
    bench.advance(TIMEOUT_MS)
    assert [(ending.is_commit, partitions) for ending, partitions in bench.markers.written] == [(False, {T0})]


def test_nothing_has_happened_when_the_log_refuses() -> None:
    bench = Bench()
    bench.init()
    bench.log.refusals = [ErrorCode.NOT_ENOUGH_REPLICAS]
    assert bench.add(T0).value is ErrorCode.COORDINATOR_NOT_AVAILABLE
    assert bench.state is TransactionState.EMPTY
    bench.add(T0)
    bench.log.refusals = [ErrorCode.KAFKA_STORAGE_ERROR]
    assert bench.end().value.code is ErrorCode.NOT_COORDINATOR
    assert bench.markers.written == [] and bench.state is TransactionState.ONGOING
    bench.log.refusals = [ErrorCode.REQUEST_TIMED_OUT]
    assert bench.init().value.code is ErrorCode.COORDINATOR_NOT_AVAILABLE, "fencing failed: the epoch stays"
    assert bench.end().value == Outcome(ErrorCode.NONE, 0, 1)


def test_the_answer_comes_before_the_markers() -> None:
    """The decision is what the client hears; what it begins meanwhile waits for the end."""
    bench = Bench()
    bench.init()
    bench.add(T0, T1)
    bench.markers.unreachable = frozenset({T1})
    assert bench.end().value.code is ErrorCode.NONE
    assert bench.state is TransactionState.PREPARE_COMMIT
    assert bench.transactions.describe("x").partitions == [T1]
    assert bench.add(T0, epoch=1).value is ErrorCode.CONCURRENT_TRANSACTIONS
    assert bench.init().value.code is ErrorCode.CONCURRENT_TRANSACTIONS
    bench.advance(MARKER_RETRY_MS)
    assert bench.state is TransactionState.PREPARE_COMMIT
    bench.markers.unreachable = frozenset()
    bench.advance(MARKER_RETRY_MS)
    assert bench.state is TransactionState.COMPLETE_COMMIT
    assert [partitions for _, partitions in bench.markers.written] == [{T0}, set(), {T1}]
    assert bench.add(T0, epoch=1).value is ErrorCode.NONE


def test_a_complete_record_that_is_refused_is_tried_again() -> None:
    bench = Bench()
    bench.init()
    bench.add(T0)
    bench.log.is_holding = True
    ended = bench.end()
    bench.log.release(1)
    assert ended.done and bench.log.held == 1
    bench.log.is_holding = False
    bench.log.refusals = [ErrorCode.NOT_ENOUGH_REPLICAS]
    bench.log.release()
    assert bench.state is TransactionState.PREPARE_COMMIT
    bench.advance(MARKER_RETRY_MS)
    assert bench.state is TransactionState.COMPLETE_COMMIT
    assert len(bench.markers.written) == 1


def test_a_new_coordinator_goes_on_with_its_own_epoch() -> None:
    """Markers of a Prepare record without a Complete one are written anew, in the name of the next coordinator."""
    bench = Bench()
    bench.init()
    bench.add(T0)
    bench.markers.unreachable = frozenset({T0})
    bench.end(is_commit=False)
    bench.markers.unreachable = frozenset()
    bench.restart(coordinator_epoch=4)
    assert bench.markers.written[-1] == (Ending(0, 1, False, 4, 2), frozenset({T0}))
    assert bench.state is TransactionState.COMPLETE_ABORT


def test_the_one_before_stops_when_it_is_told() -> None:
    bench = Bench()
    bench.init()
    bench.add(T0)
    bench.markers.unreachable = frozenset({T0})
    bench.end()
    bench.log.is_holding = True
    waiting = [bench.init("y"), bench.init("y")]
    bench.transactions.unload(0)
    bench.log.release()
    assert [answer.value.code for answer in waiting] == [ErrorCode.NOT_COORDINATOR] * 2
    count = len(bench.markers.written)
    bench.advance(10 * MARKER_RETRY_MS)
    assert len(bench.markers.written) == count
    assert bench.init().value.code is ErrorCode.NOT_COORDINATOR
    with pytest.raises(KafkaError):
        bench.transactions.describe("x")


def test_a_timeout_asks_again_in_its_turn() -> None:
    """An end that was on its way when the time was over wins."""
    bench = Bench()
    bench.init()
    bench.add(T0)
    bench.clock.advance(TIMEOUT_MS + 1)
    bench.log.is_holding = True
    ended = bench.end()
    bench.transactions.abort_timed_out()
    bench.log.is_holding = False
    bench.log.release()
    assert ended.value.code is ErrorCode.NONE
    assert bench.state is TransactionState.COMPLETE_COMMIT
    assert bench.transactions.describe("x").transaction.producer_epoch == 1


EVERY = Transaction(
    "x", 5, 7, 60_000, TransactionState.PREPARE_COMMIT, frozenset({T0, T1}), 100, 200, 4, 6, client_version=2
)


@pytest.mark.parametrize("transaction", [EVERY, new_transaction("é", 3, 1_000)._replace(producer_epoch=0)])
def test_records_round_trip(transaction: Transaction) -> None:
    found = read_record(transaction_record(transaction))
    assert found is not None and found.transaction == transaction


def test_a_record_of_kafka_before_version_1_is_read() -> None:
    """Bytes of Kafka's TransactionLogValue v0: CompleteCommit, no partitions."""
    value = bytes.fromhex("0000 0000000000000005 0007 0000ea60 04 00000000 00000000000000c8 0000000000000064")
    found = read_record(CoordinatorRecord(b"\0\0\0\1x", value))
    assert found is not None and found.transaction is not None
    assert found.transaction.state is TransactionState.COMPLETE_COMMIT
    assert (found.transaction.producer_id, found.transaction.producer_epoch) == (5, 7)


@pytest.mark.parametrize("size", range(0, 30, 7))
def test_a_damaged_record_is_not_read(size: int) -> None:
    record = transaction_record(EVERY)
    assert record.value is not None
    with pytest.raises(DecodeError):
        read_record(CoordinatorRecord(record.key, record.value[:size]))
    with pytest.raises(DecodeError):
        read_record(CoordinatorRecord(record.key, b"\0\x09" + record.value[2:]))
