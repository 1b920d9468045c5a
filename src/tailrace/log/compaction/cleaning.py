"""One cleaning of one log: a map of its dirty keys, then its segments written anew, group by group.

    first step     pass 1: dirty segments -> offset map, until it is full; the cleaning ends where the map does
    each step      pass 2: a group of segments that fit one -> one `.cleaned` segment, synced

Between two steps the owner swaps the group in, so the disk never holds more than one group twice. Runs in the
cleaner's thread over plain values and files of its own; `interrupt` comes from the loop's and takes effect within a
batch. A batch's CRC is checked before it is believed or written again.
Invariant: live records are written once, in order. At least the header of a group's last batch stays, so that a
`.swap` file tells by itself which segments it replaces (`recovery`); Kafka keeps only that of the last group.
Source: Kafka Cleaner.
"""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event
from typing import NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.disk import Disk
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.compaction.batch_filter import (
    Filtered,
    Retention,
    TombstoneRule,
    filter_all,
    filter_data,
    filter_marker,
)
from tailrace.log.compaction.cleaned_segment import CleanedSegment
from tailrace.log.compaction.grouping import grouped
from tailrace.log.compaction.offset_map import OffsetMap
from tailrace.log.compaction.pace import Pace
from tailrace.log.compaction.plan import CleaningPlan, Source
from tailrace.log.compaction.reading import read_batches
from tailrace.log.compaction.record_scan import scan
from tailrace.log.compaction.transactions import CleanedTransactions
from tailrace.log.offset_index import OffsetIndex
from tailrace.log.txn_index import AbortedTxn, TxnIndex
from tailrace.records.batch import RecordBatch


class CleanedGroup(NamedTuple):
    """A finished `.cleaned` segment, and the base offsets of the segments it is to replace."""

    segment: CleanedSegment
    replaced: tuple[int, ...]


class CleaningStats:
    """Counts of one cleaning."""

    __slots__ = ("bytes_mapped", "bytes_read", "bytes_written", "map_fill", "records_read", "records_written")

    def __init__(self) -> None:
        self.bytes_mapped = self.bytes_read = self.bytes_written = 0
        self.records_read = self.records_written = 0
        self.map_fill = 0.0
        """Part of the map's slots in use after pass 1, 0..1."""


class Cleaning:
    """The work on one plan."""

    def __init__(self, plan: CleaningPlan, disk: Disk, clock: Clock) -> None:
        self.plan = plan
        self.stats = CleaningStats()
        self.end_offset = plan.first_dirty_offset
        """The log is clean below, once every group was swapped in. Known after the first step."""
        self._disk = disk
        self._interrupted = Event()
        self._pace = Pace(plan.limits.bytes_per_second, clock, self._interrupted)
        self._rule = TombstoneRule(plan.now_ms, plan.delete_retention_ms)
        self._map: OffsetMap | None = None
        self._groups: Iterator[list[Source]] = iter(())
        self._transactions = CleanedTransactions(())

    def interrupt(self) -> None:
        """Let the thread stop as soon as it looks. From any thread."""
        self._interrupted.set()

    @property
    def is_interrupted(self) -> bool:
        """Whether it was told to stop."""
        return self._interrupted.is_set()

    def step(self) -> CleanedGroup | None:
        """The next cleaned group, the first after mapping the keys; None when all are done.

        Raises CleaningInterrupted, StorageError, KafkaError (CORRUPT_MESSAGE, INVALID_CONFIG where the map is too
        small for one batch); what it wrote of the group is gone then.
        """
        self._pace.breathe()
        if self._map is None:
            self._map_keys()
        group = next(self._groups, None)
        return None if group is None else self._clean(group)

    def close(self) -> None:
        """Give the map's memory back. No step after that."""
        if self._map is not None:
            self._map.close()

    # Pass 1: which offset is the latest of each dirty key

    def _map_keys(self) -> None:
        plan = self.plan
        limits = plan.limits
        dirty_count = plan.first_uncleanable_offset - plan.first_dirty_offset
        self._map = offsets = OffsetMap(dirty_count, limits.dedupe_buffer_bytes, limits.load_factor)
        transactions = CleanedTransactions(self._aborted(plan.first_dirty_offset))
        ends = [source.base_offset for source in plan.sources[1:]] + [plan.first_uncleanable_offset]
        for source, end in zip(plan.sources, ends, strict=True):
            if end > plan.first_dirty_offset:
                if not self._map_segment(source, transactions, offsets):
                    break
                offsets.latest_offset = end - 1  # whatever gap there is before the next segment
        self.stats.map_fill = offsets.fill
        self.end_offset = offsets.latest_offset + 1
        if self.end_offset <= plan.first_dirty_offset:
            raise KafkaError(
                ErrorCode.INVALID_CONFIG,
                f"log.cleaner.dedupe.buffer.size has room for {offsets.capacity} keys, fewer than one batch has",
            )
        sources = [source for source in plan.sources if source.base_offset < self.end_offset]
        self._groups = iter(grouped(sources, plan, self._disk))
        self._transactions = CleanedTransactions(self._aborted(sources[0].base_offset))

    def _map_segment(self, source: Source, transactions: CleanedTransactions, offsets: OffsetMap) -> bool:
        """Map the dirty keys of a segment; False where the map became full before its end."""
        first_dirty = self.plan.first_dirty_offset
        put = offsets.put
        breathe = self._pace.breathe
        for batch in self._batches(source, first_dirty):
            self.stats.bytes_mapped += batch.size
            if batch.is_control:
                transactions.may_drop_marker(batch)
            elif not transactions.may_drop(batch):
                base_offset = batch.base_offset
                for _, _, delta, key, _ in scan(bytes(batch.payload()), batch.record_count, breathe):
                    if key is not None and base_offset + delta >= first_dirty:
                        if offsets.size >= offsets.capacity:
                            return False
                        put(key, base_offset + delta)
            if batch.last_offset >= first_dirty:
                offsets.latest_offset = batch.last_offset
        return True

    # Pass 2: what is left of each segment

    def _clean(self, group: list[Source]) -> CleanedGroup:
        plan = self.plan
        segment = CleanedSegment(self._disk, plan.directory, group[0].base_offset, plan.index_interval_bytes)
        last = next((source for source in reversed(group) if source.size), None)
        try:
            for source in group:
                self._clean_segment(source, segment, source is last)
            found = self._disk.stat(group[-1].path)
            segment.finish(found.modified_ms if found is not None else plan.now_ms)
        except BaseException:
            segment.discard()
            raise
        return CleanedGroup(segment, tuple(source.base_offset for source in group))

    def _clean_segment(self, source: Source, segment: CleanedSegment, is_last: bool) -> None:
        stats = self.stats
        position = 0
        for batch in self._batches(source, source.base_offset):
            position += batch.size
            if_empty = self._if_empty(batch, is_last and position == source.size)
            left = self._left_of(batch, if_empty)
            segment.add_aborted(self._transactions.kept)
            self._transactions.kept.clear()
            stats.bytes_read += batch.size
            stats.records_read += batch.record_count
            if left.data is not None:
                segment.append(left.data, batch)
                stats.bytes_written += len(left.data)
                stats.records_written += left.record_count
                self._pace.spend(len(left.data))

    def _left_of(self, batch: RecordBatch, if_empty: Retention) -> Filtered:
        offsets = self._map
        assert offsets is not None, "pass 2 follows pass 1"
        if batch.is_control:
            is_discardable = self._transactions.may_drop_marker(batch)
            return filter_marker(batch, is_discardable, self._rule, if_empty)
        if self._transactions.may_drop(batch):
            return filter_all(batch, if_empty)
        return filter_data(batch, offsets, self._rule, if_empty, self._pace.breathe)

    def _if_empty(self, batch: RecordBatch, is_last: bool) -> Retention:
        """Whether a batch's header must outlive its records.

        The header of an active producer's last batch has its last sequence and epoch; that of the last batch says up
        to where the log goes.
        """
        if is_last or batch.next_offset == self.plan.first_uncleanable_offset:
            return Retention.EMPTY
        last = self.plan.last_records.get(batch.producer_id) if batch.producer_id >= 0 else None
        if last is None:
            return Retention.DROP
        if last.last_data_offset >= 0:
            is_producers_last = batch.last_offset == last.last_data_offset
        else:
            is_producers_last = batch.is_control and batch.producer_epoch == last.producer_epoch
        return Retention.EMPTY if is_producers_last else Retention.DROP

    # Reading

    def _batches(self, source: Source, offset: int) -> Iterator[RecordBatch]:
        """The batches of a segment, from an indexed one at or below `offset` on."""
        position = 0
        if offset > source.base_offset:
            position = OffsetIndex(self._disk, source.index_path, source.base_offset).lookup(offset)
        file = self._disk.open_existing(source.path)
        try:
            for batch in read_batches(file, source, position, self.plan.limits.read_bytes):
                self._pace.breathe()
                self._pace.spend(batch.size)
                yield batch
        finally:
            file.close()

    def _aborted(self, start_offset: int) -> list[AbortedTxn]:
        """Aborted transactions that touch [start_offset, first_uncleanable_offset)."""
        end_offset = self.plan.first_uncleanable_offset
        found: list[AbortedTxn] = []
        paths = [source.txn_index_path for source in self.plan.sources] + list(self.plan.later_txn_indexes)
        for path in paths:
            more, is_complete = TxnIndex(self._disk, path).overlapping(start_offset, end_offset)
            found += more
            if is_complete:
                return found
        return found + [txn for txn in self.plan.active_aborted if txn.first_offset < end_offset]
