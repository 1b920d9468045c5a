"""The producer snapshots of one log, and rebuilding producer state from them and the batches after.

Invariant: a snapshot at offset o was taken when the log ended at o; snapshots above the log's end are dropped.
Two are kept beside those at segment bases: Kafka keeps as many. Source: Kafka ProducerStateManager, UnifiedLog.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from tailrace.base.disk import Disk, replace_unsynced
from tailrace.log.filenames import SNAPSHOT_SUFFIX, offset_file, offset_of
from tailrace.log.producer_snapshot import decode_snapshot, encode_snapshot
from tailrace.log.producer_state import CompletedTxn, ProducerEntry, ProducerStates
from tailrace.log.segment import Segment
from tailrace.log.segments import Segments
from tailrace.log.txn_index import AbortedTxn
from tailrace.records.batch import RecordBatch
from tailrace.records.control import end_txn_marker


class Snapshots:
    """`<offset>.snapshot` files of a replica's directory."""

    __slots__ = ("_directory", "_disk", "_within", "offsets")

    def __init__(self, disk: Disk, directory: Path, names: Iterable[str]) -> None:
        self._disk = disk
        self._directory = directory
        self._within = -1
        self.offsets = sorted(o for o in (offset_of(name, SNAPSHOT_SUFFIX) for name in names) if o is not None)

    def path(self, offset: int) -> Path:
        """Path of the snapshot at `offset`, whether or not it exists."""
        return offset_file(self._directory, offset, SNAPSHOT_SUFFIX)

    def write_last(self, states: ProducerStates, log_start_offset: int, log_end_offset: int) -> None:
        """`write` at the log's end, where there is none yet and the log is not empty. Raises StorageError."""
        if log_end_offset > max(self.newest_offset, log_start_offset):
            self.write(states.entries(), log_end_offset)

    def write(self, entries: Iterable[ProducerEntry], offset: int) -> None:
        """Write the snapshot at `offset`, unsynced; nothing where it is there. Raises StorageError."""
        if offset == self._within:
            self._within = -1  # it stays: a segment begins here
        if offset not in self.offsets:
            replace_unsynced(self._disk, self.path(offset), encode_snapshot(entries))
            self.offsets.append(offset)
            self.offsets.sort()

    def write_within(self, entries: Iterable[ProducerEntry], offset: int) -> None:
        """Write the snapshot at `offset`, within a segment, in place of the one within a segment before. Raises
        StorageError."""
        if offset not in self.offsets:
            before = self._within
            self.write(entries, offset)
            self._within = offset
            self.remove(before)

    def forget(self, offset: int) -> None:
        """The snapshot at `offset` goes with its segment's files."""
        if offset in self.offsets:
            self.offsets.remove(offset)

    def remove(self, offset: int) -> None:
        """Remove the snapshot at `offset`. Raises StorageError."""
        if offset in self.offsets:
            self._disk.remove(self.path(offset))
            self.offsets.remove(offset)

    @property
    def newest_offset(self) -> int:
        """Offset of the newest snapshot, -1 where there is none."""
        return self.offsets[-1] if self.offsets else -1

    def drop_above(self, offset: int) -> None:
        """Remove the snapshots above `offset`. Raises StorageError."""
        for other in [o for o in self.offsets if o > offset]:
            self.remove(other)

    def drop_stray(self, bases: set[int]) -> None:
        """Remove those at no segment's base, except the newest. Raises StorageError."""
        for other in [o for o in self.offsets[:-1] if o not in bases]:
            self.remove(other)

    def restore(self, states: ProducerStates, segments: Segments, end_offset: int) -> None:
        """Bring `states` to `end_offset`: the newest whole snapshot at or below it, then the batches from there.

        Batches below the log start count while they are there: what a restart knows does not depend on when it was.
        Raises StorageError; KafkaError(CORRUPT_MESSAGE) where a batch header is none.
        """
        first_offset = segments[0].base_offset
        states.replace([], first_offset)
        for offset in reversed([o for o in self.offsets if first_offset <= o <= end_offset]):
            entries = decode_snapshot(self._disk.read(self.path(offset)))
            if entries is not None:
                states.replace(entries, offset)
                break
            self.remove(offset)
        if states.map_end_offset < end_offset:
            for segment, position, batch in segments.batches_from(states.map_end_offset):
                if batch.base_offset >= end_offset:
                    break
                replay_batch(states, segment, position, batch)
        states.map_end_offset = end_offset


def replay_batch(states: ProducerStates, segment: Segment, position: int, batch: RecordBatch) -> CompletedTxn | None:
    """Account for one batch of `segment` of which the header was read; the transaction that it ended, if any."""
    if batch.producer_id < 0:
        return None
    if not batch.is_control:
        states.update(batch)
        return None
    marker = end_txn_marker(segment.batch_at(position, batch.size))
    return states.update_marker(batch, marker) if marker is not None else None


def aborted_txn(states: ProducerStates, completed: CompletedTxn) -> AbortedTxn:
    """The transaction index entry for an abort that `states` has just replayed."""
    stable = states.last_stable_offset_after(completed)
    return AbortedTxn(completed.producer_id, completed.first_offset, completed.last_offset, stable)
