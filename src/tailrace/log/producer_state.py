"""What a log remembers of its idempotent producers: enough to refuse a sequence gap and to answer a retry.

Per producer id: its epoch, its last five batches, the marker's coordinator epoch, and where its open transaction
begins. Five, because that is how many requests an idempotent client may have in flight (KAFKA-5494).

Invariant: derived from the batches below `map_end_offset` and nothing else, so that it can be rebuilt from a snapshot
and the batches after it. `check` decides and changes nothing; `update` changes and refuses nothing: between them lies
the write. Not its business: files (`producer_snapshot`), the high watermark's meaning.
Source: Kafka ProducerStateManager, ProducerAppendInfo, ProducerStateEntry; KIP-98, KIP-360, KIP-890.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.records.batch import SEQUENCE_MODULUS, RecordBatch
from tailrace.records.control import EndTxnMarker

BATCHES_TO_RETAIN: Final = 5
NO_EPOCH: Final = -1


class BatchMetadata(NamedTuple):
    """One remembered batch of a producer."""

    last_sequence: int
    last_offset: int
    offset_delta: int
    timestamp: int

    @property
    def first_sequence(self) -> int:
        return (self.last_sequence - self.offset_delta) % SEQUENCE_MODULUS

    @property
    def first_offset(self) -> int:
        return self.last_offset - self.offset_delta


class ProducerEntry:
    """State of one producer id. `current_txn_first_offset` is -1 outside a transaction."""

    __slots__ = (
        "batches",
        "coordinator_epoch",
        "current_txn_first_offset",
        "last_timestamp",
        "producer_epoch",
        "producer_id",
    )

    def __init__(self, producer_id: int) -> None:
        self.producer_id = producer_id
        self.producer_epoch = NO_EPOCH
        self.batches: list[BatchMetadata] = []
        self.coordinator_epoch = -1
        self.last_timestamp = -1
        self.current_txn_first_offset = -1

    @property
    def last_sequence(self) -> int:
        """Sequence of the last batch, -1 where none is remembered."""
        return self.batches[-1].last_sequence if self.batches else -1

    @property
    def last_offset(self) -> int:
        """Offset of the last record, -1 where none is remembered."""
        return self.batches[-1].last_offset if self.batches else -1


class CompletedTxn(NamedTuple):
    """A transaction with its marker. `last_offset` is the marker's."""

    producer_id: int
    first_offset: int
    last_offset: int
    is_aborted: bool


class ProducerStates:
    """Every producer of one log."""

    __slots__ = ("_entries", "_ongoing", "_unreplicated", "map_end_offset")

    def __init__(self) -> None:
        self._entries: dict[int, ProducerEntry] = {}
        self._ongoing: dict[int, int] = {}
        """producer id -> first offset of its open transaction; insertion order is offset order."""
        self._unreplicated: list[CompletedTxn] = []
        """Completed, but with a marker not below the high watermark yet; by rising marker offset."""
        self.map_end_offset = 0
        """The state is that of the batches below this offset."""

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, producer_id: int) -> ProducerEntry | None:
        """The state of a producer, None where nothing is known."""
        return self._entries.get(producer_id)

    def entries(self) -> list[ProducerEntry]:
        """Every producer's state."""
        return list(self._entries.values())

    def replace(self, entries: Iterable[ProducerEntry], map_end_offset: int) -> None:
        """Take over a snapshot taken at `map_end_offset`."""
        self._entries = {entry.producer_id: entry for entry in entries}
        starts = [(e.current_txn_first_offset, e.producer_id) for e in self._entries.values()]
        self._ongoing = {producer_id: first for first, producer_id in sorted(starts) if first >= 0}
        self._unreplicated = []
        self.map_end_offset = map_end_offset

    # A leader's checks

    def admit(self, batch: RecordBatch, *, has_sequence: bool) -> BatchMetadata | None:
        """The remembered batch that `batch` repeats, which is not to be appended again; None for one that may be.

        A coordinator's batches have no sequence: only their epoch is checked. Raises as `check`.
        """
        if not has_sequence:
            self.check_epoch(batch.producer_id, batch.producer_epoch)
            return None
        known = self.find_duplicate(batch)
        if known is None:
            self.check(batch)
        return known

    def find_duplicate(self, batch: RecordBatch) -> BatchMetadata | None:
        """The remembered batch that `batch` repeats: same epoch, same first and last sequence."""
        entry = self._entries.get(batch.producer_id)
        if entry is None or entry.producer_epoch != batch.producer_epoch:
            return None
        last = batch.last_sequence
        for known in entry.batches:
            if known.last_sequence == last and known.first_sequence == batch.base_sequence:
                return known
        return None

    def check(self, batch: RecordBatch) -> None:
        """Whether a leader may append a client's batch with a producer id.

        Raises KafkaError: INVALID_PRODUCER_EPOCH for an epoch below the known one, OUT_OF_ORDER_SEQUENCE_NUMBER,
        INVALID_TXN_STATE for a batch outside the producer's open transaction.
        """
        entry = self.check_epoch(batch.producer_id, batch.producer_epoch)
        if entry is None:
            return
        if batch.producer_epoch != entry.producer_epoch:
            in_order = batch.base_sequence == 0 or entry.producer_epoch == NO_EPOCH
        else:
            in_order = batch.base_sequence == (entry.last_sequence + 1) % SEQUENCE_MODULUS
        if not in_order:
            raise KafkaError(
                ErrorCode.OUT_OF_ORDER_SEQUENCE_NUMBER,
                f"Sequence {batch.base_sequence} of producer {batch.producer_id} does not follow "
                f"{entry.last_sequence} (epoch {entry.producer_epoch}).",
            )
        if entry.current_txn_first_offset >= 0 and not batch.is_transactional:
            raise KafkaError(
                ErrorCode.INVALID_TXN_STATE,
                f"Producer {batch.producer_id} has an open transaction; the batch is outside of it.",
            )

    def check_epoch(self, producer_id: int, producer_epoch: int) -> ProducerEntry | None:
        """What is known of a producer. Raises INVALID_PRODUCER_EPOCH for an epoch below the known one."""
        entry = self._entries.get(producer_id)
        if entry is not None and producer_epoch < entry.producer_epoch:
            raise KafkaError(
                ErrorCode.INVALID_PRODUCER_EPOCH,
                f"Epoch {producer_epoch} of producer {producer_id} is below {entry.producer_epoch}.",
            )
        return entry

    def has_open_transaction(self, producer_id: int, producer_epoch: int) -> bool:
        """Whether the producer has written in a transaction of this epoch that has no marker yet."""
        entry = self._entries.get(producer_id)
        return entry is not None and entry.current_txn_first_offset >= 0 and entry.producer_epoch == producer_epoch

    def check_bumped_marker(self, producer_id: int, producer_epoch: int) -> None:
        """Whether a marker of transactions v2 is of a later epoch than the data it ends.

        The known epoch is allowed where nothing is open: the same marker, sent again (KIP-890, KAFKA-19999).
        Raises INVALID_PRODUCER_EPOCH.
        """
        entry = self._entries.get(producer_id)
        if entry is not None and producer_epoch == entry.producer_epoch and entry.current_txn_first_offset >= 0:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_EPOCH, "the marker's epoch is that of the open transaction")

    def check_marker(self, batch: RecordBatch, marker: EndTxnMarker) -> None:
        """Whether a leader may append a marker. Raises INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED."""
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            return
        if batch.producer_epoch < entry.producer_epoch:
            raise KafkaError(ErrorCode.INVALID_PRODUCER_EPOCH, "the marker's producer epoch is fenced")
        if marker.coordinator_epoch < entry.coordinator_epoch:
            raise KafkaError(ErrorCode.TRANSACTION_COORDINATOR_FENCED, "the marker's coordinator epoch is fenced")

    # Replay

    def update(self, batch: RecordBatch) -> None:
        """Account for a data batch with a producer id that is in the log."""
        producer_id = batch.producer_id
        entry = self._entries.get(producer_id)
        if entry is None:
            entry = self._entries[producer_id] = ProducerEntry(producer_id)
        self._take_epoch(entry, batch.producer_epoch)
        known = entry.batches
        last_offset = batch.base_offset + batch.last_offset_delta
        known.append(BatchMetadata(batch.last_sequence, last_offset, batch.last_offset_delta, batch.max_timestamp))
        if len(known) > BATCHES_TO_RETAIN:
            del known[0]
        entry.last_timestamp = batch.max_timestamp
        if batch.is_transactional and entry.current_txn_first_offset < 0:
            entry.current_txn_first_offset = batch.base_offset
            self._ongoing[producer_id] = batch.base_offset

    def update_marker(self, batch: RecordBatch, marker: EndTxnMarker) -> CompletedTxn | None:
        """Account for a marker that is in the log. The transaction it ended, None where none was open."""
        entry = self._entries.get(batch.producer_id)
        if entry is None:
            entry = self._entries[batch.producer_id] = ProducerEntry(batch.producer_id)
        self._take_epoch(entry, batch.producer_epoch)
        entry.coordinator_epoch = marker.coordinator_epoch
        entry.last_timestamp = batch.max_timestamp
        first_offset = entry.current_txn_first_offset
        entry.current_txn_first_offset = -1
        self._ongoing.pop(batch.producer_id, None)
        if first_offset < 0:
            return None
        completed = CompletedTxn(batch.producer_id, first_offset, batch.base_offset, not marker.is_commit)
        self._unreplicated.append(completed)
        return completed

    def _take_epoch(self, entry: ProducerEntry, producer_epoch: int) -> None:
        if entry.producer_epoch != producer_epoch:
            entry.producer_epoch = producer_epoch
            entry.batches.clear()

    # Transactions

    @property
    def first_unstable_offset(self) -> int | None:
        """First offset of the earliest transaction that is open, or whose marker is not below the high watermark."""
        ongoing = next(iter(self._ongoing.values()), None)
        unreplicated = min((txn.first_offset for txn in self._unreplicated), default=None)
        if ongoing is None or unreplicated is None:
            return unreplicated if ongoing is None else ongoing
        return min(ongoing, unreplicated)

    def last_stable_offset_after(self, completed: CompletedTxn) -> int:
        """The last stable offset once `completed` is: the first offset of another open transaction, or past its end."""
        for producer_id, first_offset in self._ongoing.items():
            if producer_id != completed.producer_id:
                return first_offset
        return completed.last_offset + 1

    def on_high_watermark(self, high_watermark: int) -> None:
        """Transactions whose markers are below the high watermark are stable."""
        if self._unreplicated:
            self._unreplicated = [txn for txn in self._unreplicated if txn.last_offset >= high_watermark]

    def expire(self, now_ms: int, expiration_ms: int) -> int:
        """Forget producers idle for `expiration_ms` without an open transaction; answers how many."""
        idle = [
            entry.producer_id
            for entry in self._entries.values()
            if entry.current_txn_first_offset < 0 and now_ms - entry.last_timestamp >= expiration_ms
        ]
        for producer_id in idle:
            del self._entries[producer_id]
        return len(idle)
