"""Which batches of transactions a cleaning may drop, as it walks over the log from the start.

Data of an aborted transaction goes at once. Its ABORT marker may go when none of its batches was met on the way any
more, a COMMIT marker when no data of its producer was met since the marker before. An aborted transaction of which
batches were met stays in the cleaned transaction index, so that readers of them, in segments not cleaned yet, know.

Invariant: batches and markers are told in offset order. Source: Kafka CleanedTransactionMetadata.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from tailrace.log.txn_index import AbortedTxn
from tailrace.records.batch import RecordBatch
from tailrace.records.control import end_txn_marker


class CleanedTransactions:
    """Transactions seen on the way, given those that aborted."""

    __slots__ = ("_aborted", "_committed", "_ongoing_aborted", "kept")

    def __init__(self, aborted: Iterable[AbortedTxn]) -> None:
        self._aborted = deque(sorted(set(aborted), key=lambda txn: txn.first_offset))
        self._ongoing_aborted: dict[int, tuple[AbortedTxn, bool]] = {}
        """producer id -> its aborted transaction, and whether a batch of it was met"""
        self._committed: set[int] = set()
        self.kept: list[AbortedTxn] = []
        """Aborted transactions, by rising marker, that still have batches; whoever writes them takes them out."""

    def may_drop(self, batch: RecordBatch) -> bool:
        """Whether a data batch belongs to an aborted transaction. To be asked of each data batch."""
        self._begin_up_to(batch.last_offset)
        if not batch.is_transactional:
            return False
        found = self._ongoing_aborted.get(batch.producer_id)
        if found is None:
            self._committed.add(batch.producer_id)
            return False
        self._ongoing_aborted[batch.producer_id] = (found[0], True)
        return True

    def may_drop_marker(self, batch: RecordBatch) -> bool:
        """Whether a control batch ends a transaction of which nothing is left. To be asked of each control batch."""
        self._begin_up_to(batch.last_offset)
        if batch.record_count == 0:
            return True
        marker = end_txn_marker(batch)
        if marker is None:
            return False
        if marker.is_commit:
            had_data = batch.producer_id in self._committed
            self._committed.discard(batch.producer_id)
            return not had_data
        txn, was_met = self._ongoing_aborted.pop(batch.producer_id, (None, False))
        if txn is not None and was_met:
            self.kept.append(txn)
            return False
        return True

    def _begin_up_to(self, offset: int) -> None:
        waiting = self._aborted
        while waiting and waiting[0].first_offset <= offset:
            txn = waiting.popleft()
            self._ongoing_aborted.setdefault(txn.producer_id, (txn, False))
