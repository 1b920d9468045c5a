"""The transaction coordinator: finds an id's partition, gives each id its turns, ends what nobody ends.

    request ──> partition of the id ──> its turn ──> step ──> append ──> committed: replay, answer
                  not here: NOT_COORDINATOR                    refused: answer the error, change nothing
                  loading:  COORDINATOR_LOAD_IN_PROGRESS

Invariant: what is known of an id is what its partition's committed records say; a transaction whose Prepare record is
committed gets its markers, over restarts, until it is Complete. A transaction that outlives its timeout is aborted.
Not its business: bytes on a connection, whether topics exist, the logs. Source: Kafka's `TransactionCoordinator`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Answer, Pending
from tailrace.base.types import TopicPartition
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.limits import RECORDS_PER_STEP
from tailrace.coordinator.partitioning import partition_for
from tailrace.coordinator.ports import CoordinatorRecord, LogEntry, PartitionLoader, PartitionWriter, Timers
from tailrace.coordinator.transactions import listing, steps
from tailrace.coordinator.transactions.listing import Filters
from tailrace.coordinator.transactions.markers import Markers, MarkerWriter, keep_last_epoch
from tailrace.coordinator.transactions.records import transaction_record, transaction_tombstone
from tailrace.coordinator.transactions.settings import TransactionSettings
from tailrace.coordinator.transactions.shard import TransactionShard
from tailrace.coordinator.transactions.transaction import (
    IDLE,
    LATEST_VERSION,
    PREPARED,
    ProducerIdAndEpoch,
    Transaction,
    TransactionState,
    new_transaction,
)
from tailrace.coordinator.turns import Limit, Turn, Turns, refuse_nobody, refuse_waiting

Refuse = Callable[[ErrorCode], None]


class Outcome(NamedTuple):
    """What a producer hears: who it is from here on, or why not."""

    code: ErrorCode
    producer_id: int = -1
    producer_epoch: int = -1


class Description(NamedTuple):
    """A transactional id as it is at this moment."""

    transaction: Transaction
    partitions: list[TopicPartition]


class TransactionCoordinator:
    """Every method is called in the loop's thread and returns at once."""

    def __init__(
        self,
        settings: TransactionSettings,
        writers: tuple[PartitionWriter, MarkerWriter],
        new_producer_id: Callable[[], int],
        timers: Timers,
        clock: Clock,
    ) -> None:
        self.settings = settings
        self._turns = Turns(writers[0], Limit(timers, lambda: settings.offsets_commit_timeout_ms))
        self._markers = Markers(writers[1], self._turns, timers, clock)
        self._new_producer_id = new_producer_id
        self._clock = clock
        self._shards: dict[int, TransactionShard] = {}
        self._timers = timers
        self._timeouts = timers.schedule(
            settings.transaction_abort_timed_out_transaction_cleanup_interval_ms, self._on_timeout_check
        )
        self._expiry = timers.schedule(
            settings.transaction_remove_expired_transaction_cleanup_interval_ms, self._on_expiry_check
        )

    # Partitions

    def partition_for(self, transactional_id: str) -> int:
        """Partition of `__transaction_state` that keeps this id."""
        return partition_for(transactional_id, self.settings.transaction_state_log_num_partitions)

    def load(self, partition: int, coordinator_epoch: int, loader: PartitionLoader) -> None:
        """Load a partition in one go, as `load_steps` does it."""
        deque(self.load_steps(partition, coordinator_epoch, loader), maxlen=0)

    def load_steps(self, partition: int, coordinator_epoch: int, loader: PartitionLoader) -> Iterator[None]:
        """This broker leads `partition` in this leader epoch: its ids are loading from now on, until the last of these
        steps, which goes on with what was being ended.

        A step raises DecodeError for a record nobody can read, or as `loader` does: the partition is then not served.
        Once it is unloaded there are no more steps.
        """
        self.unload(partition)
        shard = self._shards[partition] = TransactionShard(partition, coordinator_epoch)
        return self._load(shard, loader)

    def _load(self, shard: TransactionShard, loader: PartitionLoader) -> Iterator[None]:
        try:
            yield from _replay_log(shard, loader.records(shard.partition))
        except BaseException:
            if not shard.is_closed:
                self.unload(shard.partition)
            raise
        if shard.is_closed:
            return
        shard.is_loading = False
        for transaction in list(shard.transactions.values()):
            if transaction.state in PREPARED:
                self._markers.begin(shard, transaction)

    def unload(self, partition: int) -> None:
        """This broker no longer leads `partition`: refuse what waits there, forget its ids."""
        shard = self._shards.pop(partition, None)
        if shard is not None:
            shard.is_closed = True
            refuse_waiting(shard)

    def close(self) -> None:
        """Unload everything and stop the timers."""
        self._timeouts.cancel()
        self._expiry.cancel()
        for partition in list(self._shards):
            self.unload(partition)

    def _shard(self, transactional_id: str) -> TransactionShard:
        shard = self._shards.get(self.partition_for(transactional_id))
        if shard is None:
            raise KafkaError(ErrorCode.NOT_COORDINATOR)
        if shard.is_loading:
            raise KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        return shard

    def _submit(
        self, transactional_id: str, decide: Callable[[TransactionShard], Decision | None], refuse: Refuse
    ) -> None:
        """Run `decide` in the id's turn; refuse when this is not its coordinator, or it raises KafkaError."""
        try:
            shard = self._shard(transactional_id)
        except KafkaError as error:
            refuse(error.code)
            return
        self._turns.take(shard, transactional_id, Turn(partial(decide, shard), refuse))

    def _step(self, shard: TransactionShard, stepped: Transaction, then: Refuse) -> Decision:
        """Append a step, go on with its markers if it ends a transaction, and tell `then` how it went."""

        def commit() -> None:
            keep_last_epoch(shard, stepped)
            if stepped.state in PREPARED:
                self._markers.begin(shard, stepped)  # before the answer: what it brings comes after the end
            then(ErrorCode.NONE)

        def failure(code: ErrorCode) -> None:
            then(code)

        return Decision([transaction_record(stepped)], commit, failure)

    # Requests

    def init_producer_id(
        self, transactional_id: str, timeout_ms: int, expected: ProducerIdAndEpoch | None
    ) -> Pending[Outcome]:
        """InitProducerId: fence whoever used the id before, and say who its producer is from here on.

        CONCURRENT_TRANSACTIONS while what the last one left open is being aborted: the client asks again.
        """
        answer: Pending[Outcome] = Answer()

        def refuse(code: ErrorCode) -> None:
            answer.complete(Outcome(code))

        def decide(shard: TransactionShard) -> Decision:
            known = shard.transactions.get(transactional_id)
            if known is None:
                known = new_transaction(transactional_id, self._new_producer_id(), timeout_ms)
            now_ms = self._clock.wall_ms()
            begun = steps.begin_producer(known, expected, timeout_ms, now_ms, self._new_producer_id)

            def then(code: ErrorCode) -> None:
                if code is ErrorCode.NONE and begun.state in PREPARED:
                    code = ErrorCode.CONCURRENT_TRANSACTIONS
                if code is ErrorCode.NONE:
                    answer.complete(Outcome(code, begun.producer_id, begun.producer_epoch))
                else:
                    refuse(code)

            return self._step(shard, begun, then)

        if not transactional_id:
            refuse(ErrorCode.INVALID_REQUEST)
        elif not 0 < timeout_ms <= self.settings.transaction_max_timeout_ms:
            refuse(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
        else:
            self._submit(transactional_id, decide, refuse)
        return answer

    def add_partitions(
        self,
        transactional_id: str,
        producer: ProducerIdAndEpoch,
        partitions: frozenset[TopicPartition],
        client_version: int,
    ) -> Pending[ErrorCode]:
        """AddPartitionsToTxn and AddOffsetsToTxn, by a client or, from transactions v2 on, by a partition's leader."""
        answer: Pending[ErrorCode] = Answer()

        def decide(shard: TransactionShard) -> Decision | None:
            known = shard.transactions.get(transactional_id)
            now_ms = self._clock.wall_ms()
            added = steps.add_partitions(known, producer, partitions, now_ms, client_version)
            if added is not None:
                return self._step(shard, added, answer.complete)
            answer.complete(ErrorCode.NONE)
            return None

        if transactional_id:
            self._submit(transactional_id, decide, answer.complete)
        else:
            answer.complete(ErrorCode.INVALID_REQUEST)
        return answer

    def missing_partitions(
        self, transactional_id: str, producer: ProducerIdAndEpoch, partitions: frozenset[TopicPartition]
    ) -> frozenset[TopicPartition]:
        """Those of `partitions` that are not in the producer's open transaction (KIP-890, part 1). Raises KafkaError.

        It does not wait for its turn: what is on its way is not in the transaction yet.
        """
        if not transactional_id:
            raise KafkaError(ErrorCode.INVALID_REQUEST)
        known = self._shard(transactional_id).transactions.get(transactional_id)
        return steps.verify_partitions(known, producer, partitions)

    def end_transaction(
        self, transactional_id: str, producer: ProducerIdAndEpoch, is_commit: bool, client_version: int
    ) -> Pending[Outcome]:
        """EndTxn: completes when the decision is in the log; the markers follow.

        From transactions v2 on the answer says who the producer is in its next transaction.
        """
        answer: Pending[Outcome] = Answer()
        bumps = client_version >= LATEST_VERSION

        def refuse(code: ErrorCode) -> None:
            answer.complete(Outcome(code))

        def decide(shard: TransactionShard) -> Decision | None:
            known = shard.transactions.get(transactional_id)
            now_ms = self._clock.wall_ms()
            if bumps:
                ended = steps.end_and_bump(known, producer, is_commit, now_ms, self._new_producer_id)
            else:
                ended = steps.end(known, producer, is_commit, now_ms)
            follower = known if ended is None else ended.completed(now_ms)
            assert follower is not None

            def then(code: ErrorCode) -> None:
                if code is ErrorCode.NONE and bumps:
                    answer.complete(Outcome(code, follower.producer_id, follower.producer_epoch))
                else:
                    refuse(code)

            if ended is not None:
                return self._step(shard, ended, then)
            then(ErrorCode.NONE)
            return None

        if transactional_id:
            self._submit(transactional_id, decide, refuse)
        else:
            refuse(ErrorCode.INVALID_REQUEST)
        return answer

    # Looking

    def describe(self, transactional_id: str) -> Description:
        """One id as it is. Raises TRANSACTIONAL_ID_NOT_FOUND, INVALID_REQUEST, or that this is not its coordinator."""
        if not transactional_id:
            raise KafkaError(ErrorCode.INVALID_REQUEST)
        shard = self._shard(transactional_id)
        known = shard.transactions.get(transactional_id)
        if known is None:
            raise KafkaError(ErrorCode.TRANSACTIONAL_ID_NOT_FOUND)
        return Description(known, listing.partitions_to_show(shard, known))

    def matching(self, filters: Filters) -> list[Transaction]:
        """The ids that pass. Raises COORDINATOR_LOAD_IN_PROGRESS while one of the partitions is loading."""
        if any(shard.is_loading for shard in self._shards.values()):
            raise KafkaError(ErrorCode.COORDINATOR_LOAD_IN_PROGRESS)
        return listing.matching(self._shards.values(), filters, self._clock.wall_ms())

    # What nobody asks for

    def _on_timeout_check(self) -> None:
        self._timeouts.reset(self.settings.transaction_abort_timed_out_transaction_cleanup_interval_ms)
        self.abort_timed_out()

    def abort_timed_out(self) -> None:
        """Abort every transaction that is open for longer than its timeout."""
        now_ms = self._clock.wall_ms()
        self._each_in_turn(lambda known: _is_timed_out(known, now_ms), self._abort_if_timed_out)

    def _abort_if_timed_out(self, shard: TransactionShard, known: Transaction) -> Decision:
        return self._step(shard, known.prepared_and_fenced(self._clock.wall_ms()), refuse_nobody)

    def _on_expiry_check(self) -> None:
        self._expiry.reset(self.settings.transaction_remove_expired_transaction_cleanup_interval_ms)
        self.expire_ids()

    def expire_ids(self) -> None:
        """Forget the ids that nobody used for `transactional.id.expiration.ms` and that have nothing open."""
        until_ms = self._clock.wall_ms() - self.settings.transactional_id_expiration_ms
        self._each_in_turn(lambda known: known.state in IDLE and known.last_update_ms <= until_ms, _forget)

    def _each_in_turn(
        self,
        concerns: Callable[[Transaction], bool],
        act: Callable[[TransactionShard, Transaction], Decision],
    ) -> None:
        """Give each id that it concerns a turn, in which it is asked again: something may have come before."""
        for shard in [each for each in self._shards.values() if not each.is_loading]:
            for transaction in [each for each in shard.transactions.values() if concerns(each)]:
                turn = Turn(partial(_act_if, shard, transaction.transactional_id, concerns, act), refuse_nobody)
                self._turns.take(shard, transaction.transactional_id, turn)


def _replay_log(shard: TransactionShard, entries: Iterable[LogEntry]) -> Iterator[None]:
    """Bring a shard to where its log is, step by step; no further once it is closed."""
    latest: dict[bytes, CoordinatorRecord] = {}
    for count, entry in enumerate(entries, 1):
        if isinstance(entry, CoordinatorRecord):
            latest[entry.key] = entry
        if count % RECORDS_PER_STEP == 0:
            yield
            if shard.is_closed:
                return
    for count, record in enumerate(latest.values(), 1):
        shard.replay(record)
        if count % RECORDS_PER_STEP == 0:
            yield
            if shard.is_closed:
                return


def _act_if(
    shard: TransactionShard,
    transactional_id: str,
    concerns: Callable[[Transaction], bool],
    act: Callable[[TransactionShard, Transaction], Decision],
) -> Decision | None:
    known = shard.transactions.get(transactional_id)
    return act(shard, known) if known is not None and concerns(known) else None


def _is_timed_out(known: Transaction, now_ms: int) -> bool:
    return known.state is TransactionState.ONGOING and known.start_ms + known.timeout_ms < now_ms


def _forget(shard: TransactionShard, known: Transaction) -> Decision:
    return Decision([transaction_tombstone(known.transactional_id)], lambda: None, refuse_nobody)
