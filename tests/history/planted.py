"""Bugs to be planted in a live broker, each of a kind that some broker has had: the checker must find every one.

A bug is a patch of a class in the broker's process, made by `hurt_broker` before the broker starts. Most strike now
and then, as bugs do. `expected` names rules of which at least one has to speak.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

from tests.history.faults import Fault, Kind

from tailrace.coordinator.groups.offsets import CommittedOffset, Offsets
from tailrace.coordinator.groups.shard import GroupShard
from tailrace.coordinator.transactions import coordinator, steps
from tailrace.coordinator.transactions.transaction import ProducerIdAndEpoch, Transaction, TransactionState
from tailrace.log.log import AppendInfo, Log
from tailrace.log.producer_state import BatchMetadata, ProducerEntry, ProducerStates
from tailrace.log.txn_index import TxnIndex
from tailrace.records.batch import RecordBatch, stamp
from tailrace.replication.partition import Partition

EVERY = 40
"""A bug that strikes now and then strikes at every so many batches."""


class Bug(NamedTuple):
    plant: Callable[[], None]
    what: str
    expected: frozenset[str]
    brought_out_by: tuple[Fault, ...] = (Fault(Kind.KILL, 2.0), Fault(Kind.CUT_SOME, 1.0))
    """Faults of the shortest run in which it shows."""


def _concerns(log: Log, batch: RecordBatch) -> bool:
    """Whether it is a client's data."""
    return not batch.is_control and not log.topic_partition.topic.startswith("__")


class _Now:
    """Says yes at every n-th question."""

    def __init__(self, every: int = EVERY) -> None:
        self._every = every
        self._count = 0

    def __call__(self) -> bool:
        self._count += 1
        return self._count % self._every == 0


def drop_acknowledged() -> None:
    append, now = Log._append, _Now()

    def drop(self: Log, batch: RecordBatch, now_ms: int) -> None:
        if _concerns(self, batch) and now():
            if batch.producer_id >= 0:
                self.producer_states.update(batch)
            return
        append(self, batch, now_ms)

    Log._append = drop  # type: ignore[method-assign]


def append_twice() -> None:
    append, now = Log._append, _Now()

    def twice(self: Log, batch: RecordBatch, now_ms: int) -> None:
        append(self, batch, now_ms)
        if _concerns(self, batch) and now():
            append(self, _copy(batch, self.log_end_offset), now_ms)

    Log._append = twice  # type: ignore[method-assign]


def _copy(batch: RecordBatch, base_offset: int) -> RecordBatch:
    copied = bytearray(batch.view)
    stamp(memoryview(copied), base_offset, batch.partition_leader_epoch)
    return RecordBatch.parse(memoryview(copied))


def reorder() -> None:
    """A batch waits for the next one of its producer, which goes first. Nobody is told where it was put."""
    append, append_as_leader, now = Log._append, Log.append_as_leader, _Now(10)
    held: dict[tuple[Log, int], RecordBatch] = {}
    is_held = False

    def hold(self: Log, batch: RecordBatch, now_ms: int) -> None:
        nonlocal is_held
        waiting = held.pop((self, batch.producer_id), None)
        is_held = waiting is None and batch.producer_id >= 0 and not batch.is_transactional
        if is_held and _concerns(self, batch) and now():
            held[self, batch.producer_id] = _copy(batch, batch.base_offset)
            self.producer_states.update(batch)
            return
        is_held = False
        append(self, batch, now_ms)
        if waiting is not None:
            append(self, _copy(waiting, self.log_end_offset), now_ms)
            entry = self.producer_states.get(waiting.producer_id)
            assert entry is not None
            entry.batches.pop()  # it was accounted for when it came

    def answer(self: Log, *args: Any) -> AppendInfo:
        info = append_as_leader(self, *args)
        return info._replace(first_offset=-1, last_offset=-1) if is_held and not info.duplicate else info

    Log._append = hold  # type: ignore[method-assign]
    Log.append_as_leader = answer  # type: ignore[method-assign]


def serve_past_the_last_stable_offset() -> None:
    Partition.readable_end = lambda self, isolation: self.high_watermark  # type: ignore[method-assign]


def forget_what_was_aborted() -> None:
    TxnIndex.append = lambda self, entry: None  # type: ignore[method-assign,assignment]


def take_any_sequence() -> None:
    def admit(self: ProducerStates, batch: RecordBatch, *, has_sequence: bool) -> BatchMetadata | None:
        self.check_epoch(batch.producer_id, batch.producer_epoch)
        return None

    ProducerStates.admit = admit  # type: ignore[method-assign]


def forget_the_fence() -> None:
    check, end_and_bump = ProducerStates.check, steps.end_and_bump

    def check_epoch(self: ProducerStates, producer_id: int, producer_epoch: int) -> ProducerEntry | None:
        return self.get(producer_id)

    def check_newer(self: ProducerStates, batch: RecordBatch) -> None:
        known = self.get(batch.producer_id)
        if known is None or batch.producer_epoch >= known.producer_epoch:
            check(self, batch)

    def check_producer(known: Transaction | None, producer: ProducerIdAndEpoch) -> Transaction:
        assert known is not None
        return known

    def end(known: Transaction | None, producer: ProducerIdAndEpoch, *rest: Any) -> Transaction | None:
        if known is not None and known.state is TransactionState.ONGOING:
            producer = ProducerIdAndEpoch(known.producer_id, known.producer_epoch)
        return end_and_bump(known, producer, *rest)

    ProducerStates.check_epoch = check_epoch  # type: ignore[method-assign]
    ProducerStates.check = check_newer  # type: ignore[method-assign]
    steps.check_producer = check_producer
    coordinator.steps.end_and_bump = end


def forget_a_commit() -> None:
    set_offset, now = Offsets.set, _Now(5)

    def forget(self: Offsets, topic: str, partition: int, committed: CommittedOffset) -> None:
        if self.get(topic, partition) is None or not now():
            set_offset(self, topic, partition, committed)

    Offsets.set = forget  # type: ignore[method-assign]


def commit_what_was_aborted() -> None:
    replay_end = GroupShard.replay_end
    GroupShard.replay_end = lambda self, producer_id, is_commit: replay_end(self, producer_id, True)  # type: ignore[method-assign]


def lose_the_tail() -> None:
    open_log = Log.open.__func__  # type: ignore[attr-defined]

    def open_shorter(cls: type[Log], *args: Any, **more: Any) -> Log:
        log: Log = open_log(cls, *args, **more)
        if (
            not more.get("was_clean")
            and log.log_end_offset > log.log_start_offset + 5
            and "__" not in log.directory.name
        ):
            log.truncate_to(log.log_end_offset - 1)
        return log

    Log.open = classmethod(open_shorter)  # type: ignore[assignment,method-assign]


LOST = frozenset({"unseen", "lost-write", "lost-read", "inconsistent-offset"})
QUIET = (Fault(Kind.CUT_SOME, 4.0), Fault(Kind.CUT_SOME, 4.0))
BUGS: dict[str, Bug] = {
    "drop-acknowledged": Bug(drop_acknowledged, "an acknowledged batch is not written", LOST),
    "append-twice": Bug(append_twice, "a batch is written twice", frozenset({"duplicate"})),
    "reorder": Bug(reorder, "two batches change places", frozenset({"nonmonotonic-send"})),
    "past-stable": Bug(
        serve_past_the_last_stable_offset,
        "read_committed is served past the last stable offset",
        frozenset({"open-read", "aborted-read"}),
    ),
    "forget-aborted": Bug(
        forget_what_was_aborted, "an aborted transaction is not in the index", frozenset({"aborted-read"})
    ),
    "any-sequence": Bug(
        take_any_sequence,
        "a producer's retry is written again",
        frozenset({"duplicate"}),
        tuple(Fault(Kind.LOSE_ANSWERS, 0.8, 0.1) for _ in range(4)),
    ),
    "forget-fence": Bug(
        forget_the_fence, "a producer is not fenced by the next of its id", frozenset({"zombie"}), QUIET
    ),
    "forget-commit": Bug(forget_a_commit, "a committed offset goes back", frozenset({"lost-commit"})),
    "commit-aborted": Bug(
        commit_what_was_aborted,
        "offsets of an aborted transaction are committed",
        frozenset({"lost-commit", "unprocessed"}),
    ),
    "lose-tail": Bug(lose_the_tail, "recovery cuts off the last batch of a log", LOST),
}
