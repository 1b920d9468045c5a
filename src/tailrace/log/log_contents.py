"""What one partition's log holds, and how it is read and shortened.

    log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset

Invariant: offsets in [log_start_offset, log_end_offset) are in the segments, each once; nothing outside is ever read.
What goes is renamed first and unlinked later (`files`), so that whoever reads it may go on.
Not its business: what comes in, when segments roll, what reaches the device: that is `log`, which is built on this.
Source: Kafka UnifiedLog, LocalLog.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.types import TopicId, TopicPartition
from tailrace.log import lookup, partition_metadata
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.files import DoomedFiles, rename_all
from tailrace.log.flushing import Flushing
from tailrace.log.group_commit import GroupCommit
from tailrace.log.leader_epochs import LeaderEpochs
from tailrace.log.producer_state import ProducerEntry, ProducerStates
from tailrace.log.read_ends import ReadEnds
from tailrace.log.recovery import LoadedLog
from tailrace.log.replacement import RunningCleaning, replacement_renames
from tailrace.log.results import EMPTY_SLICE, FetchSlice
from tailrace.log.segment import Segment
from tailrace.log.segments import Segments
from tailrace.log.snapshots import Snapshots
from tailrace.log.txn_index import AbortedTxn


class LogContents:
    """The offsets, the segments and what is remembered of them."""

    __slots__ = (
        "_config",
        "_doomed",
        "_env",
        "_flushing",
        "_high_watermark",
        "_read_ends",
        "_segments",
        "_snapshots",
        "cleaning",
        "directory",
        "first_dirty_offset",
        "group_commit",
        "leader_epochs",
        "log_end_offset",
        "log_start_offset",
        "producer_states",
        "topic_id",
        "topic_partition",
    )

    topic_id: TopicId
    """ZERO_TOPIC_ID until known."""
    log_start_offset: int
    log_end_offset: int
    first_dirty_offset: int
    """Compacted below; -1 where it never was. May lie outside of the log after deletions."""
    cleaning: RunningCleaning | None
    """The compaction at work on its sealed segments, which are then left alone or the compaction interrupted."""

    def __init__(
        self,
        directory: Path,
        topic_partition: TopicPartition,
        config: LogConfig,
        env: LogEnvironment,
        loaded: LoadedLog,
    ) -> None:
        self.directory = directory
        self.topic_partition = topic_partition
        self._env = env
        self._segments: Segments = loaded.segments
        self._snapshots: Snapshots = loaded.snapshots
        self.leader_epochs: LeaderEpochs = loaded.leader_epochs
        self.producer_states: ProducerStates = loaded.producer_states
        self.log_start_offset = loaded.log_start_offset
        self.log_end_offset = loaded.log_end_offset
        self._flushing = Flushing(env, loaded)
        self.group_commit = GroupCommit(env, directory, loaded.segments, self._flushing)
        self.topic_id = partition_metadata.read(env.disk, directory)
        self._high_watermark = loaded.log_start_offset
        self._doomed = DoomedFiles(env)
        self._read_ends: ReadEnds | None = None
        """Made by the first read of the log's end: most logs of many are never read."""
        self.first_dirty_offset = -1
        self.cleaning = None
        self._config = config

    @property
    def config(self) -> LogConfig:
        return self._config

    # Offsets

    @property
    def segments(self) -> Segments:
        """Its segments, for retention and inspection."""
        return self._segments

    @property
    def size_bytes(self) -> int:
        """Bytes of all batches."""
        return self._segments.size_bytes

    @property
    def recovery_point(self) -> int:
        """Every offset below is on the device: recovery_point <= log_end_offset."""
        return self._flushing.recovery_point

    @property
    def flushed_offset(self) -> int:
        """Every batch below would survive a power failure: recovery_point <= flushed_offset <= log_end_offset."""
        return self._flushing.flushed_offset

    @property
    def committable_offset(self) -> int:
        """How far the high watermark may go by this replica: to what is flushed while a flush is owed, else to the end.

        A flush is owed for every append with `flush.before.ack`, for every n-th record with `flush.messages`.
        """
        return self._flushing.flushed_offset if self.group_commit.is_owed else self.log_end_offset

    @property
    def flush_error(self) -> StorageError | None:
        """Why the last flush behind our back failed; the recovery point has not moved since."""
        return self._flushing.error

    @property
    def high_watermark(self) -> int:
        """Everything below is committed. Set by replication, within [log_start_offset, log_end_offset]."""
        return self._high_watermark

    @high_watermark.setter
    def high_watermark(self, offset: int) -> None:
        assert offset <= self.log_end_offset, f"high watermark {offset} above log end {self.log_end_offset}"
        self._high_watermark = max(offset, self.log_start_offset)
        self.producer_states.on_high_watermark(self._high_watermark)

    @property
    def last_stable_offset(self) -> int:
        """Everything below is committed and of decided transactions."""
        unstable = self.producer_states.first_unstable_offset
        bound = self._high_watermark if unstable is None else max(unstable, self.log_start_offset)  # it may be deleted
        return min(self._high_watermark, bound)

    # Reading

    def read(self, offset: int, max_bytes: int, upper_bound_offset: int, min_one_batch: bool) -> FetchSlice:
        """The batches from the one that holds `offset` on, below `upper_bound_offset`, at most `max_bytes`.

        With `min_one_batch` the first one is whole even if larger; the last may be cut where none before it fits.
        Raises KafkaError(OFFSET_OUT_OF_RANGE) outside [log_start_offset, log_end_offset], StorageError.
        """
        if offset < self.log_start_offset or offset > self.log_end_offset:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE,
                f"Offset {offset} of {self.topic_partition} is outside "
                f"[{self.log_start_offset}, {self.log_end_offset}].",
            )
        if offset >= upper_bound_offset or offset == self.log_end_offset:
            return EMPTY_SLICE
        if self._read_ends is not None and upper_bound_offset == self.log_end_offset:
            active = self._segments.active
            position = self._read_ends.find(active, offset)
            if position is not None and 0 < active.size - position <= max_bytes:
                self._read_ends.note(active, upper_bound_offset)
                return FetchSlice(active.file, position, active.size - position, offset)
        located = self._segments.locate(offset)
        if located is None:
            return EMPTY_SLICE
        segment, first = located
        end = segment.size
        if upper_bound_offset < self.log_end_offset:
            bound = segment.find(upper_bound_offset, None if upper_bound_offset > first.last_offset else first.position)
            end = segment.size if bound is None else bound.position
        available = end - first.position
        wanted = max(max_bytes, first.size) if min_one_batch else max_bytes
        if available <= wanted:
            size = available
        else:
            # Whole batches where the index tells of a boundary; a consumer would throw a cut one away.
            boundary = segment.offset_index.position_at_or_below(first.position + wanted)
            size = boundary - first.position if boundary > first.position else wanted
        if size <= 0:
            return EMPTY_SLICE
        if size == available and upper_bound_offset == self.log_end_offset and segment is self._segments.active:
            if self._read_ends is None:
                self._read_ends = ReadEnds()
            self._read_ends.note(segment, upper_bound_offset)
        return FetchSlice(segment.file, first.position, size, first.base_offset)

    def read_bytes(self, fetched: FetchSlice) -> bytes:
        """The bytes of a slice, for conversion and for coordinators. Raises StorageError."""
        return fetched.file.pread(fetched.size, fetched.position) if fetched.file is not None else b""

    def aborted_transactions(self, start_offset: int, end_offset: int) -> list[AbortedTxn]:
        """Aborted transactions that touch [start_offset, end_offset), by rising marker offset (for read_committed)."""
        return lookup.aborted_transactions(self._segments, start_offset, end_offset)

    def offset_for_timestamp(self, timestamp: int) -> lookup.TimestampAndOffset | None:
        """The first record of at least `timestamp`: (its timestamp, offset, leader epoch). Raises StorageError."""
        return lookup.offset_for_timestamp(self._segments, timestamp, self.log_start_offset)

    def max_timestamp_offset(self) -> lookup.TimestampAndOffset | None:
        """The first record with the largest timestamp (KIP-734); None where no record has one. Raises StorageError."""
        return lookup.max_timestamp_offset(self._segments, self.log_start_offset)

    def end_offset_for_epoch(self, epoch: int) -> tuple[int, int]:
        """(epoch, end offset) for OffsetForLeaderEpoch; (-1, -1) where unknown."""
        return self.leader_epochs.end_offset_for(epoch, self.log_end_offset)

    def active_producers(self) -> list[ProducerEntry]:
        """Every producer remembered, for DescribeProducers."""
        return self.producer_states.entries()

    # Epochs, truncation, deletion

    def assign_leader_epoch(self, epoch: int) -> None:
        """A leader of `epoch` begins at the log's end. Written with its first batch."""
        self.leader_epochs.assign_in_memory(epoch, self.log_end_offset)

    def truncate_to(self, offset: int) -> None:
        """Drop every batch that reaches `offset` or beyond; nothing where the log ends before. Raises StorageError."""
        if offset >= self.log_end_offset:
            return
        self._read_ends = None
        self._interrupt_cleaning()
        if not len(self._segments) or offset <= self._segments[0].base_offset:
            self.truncate_fully_and_start_at(offset)
            return
        try:
            for segment in reversed(list(self._segments)):
                if segment.base_offset >= offset:
                    self._doom(segment)
            self._segments.active.truncate_to(offset)
        finally:  # wherever it stopped, the log ends where its segments do
            self.log_end_offset = self._segments.active.next_offset()
            self.group_commit.on_truncate(self.log_end_offset)
            self._high_watermark = min(self._high_watermark, self.log_end_offset)
            self.first_dirty_offset = min(self.first_dirty_offset, self.log_end_offset)
            self.log_start_offset = min(self.log_start_offset, self.log_end_offset)
        self.leader_epochs.truncate_from_end(self.log_end_offset)
        self._snapshots.drop_above(self.log_end_offset)
        self._snapshots.restore(self.producer_states, self._segments, self.log_end_offset)

    def truncate_fully_and_start_at(self, offset: int) -> None:
        """Drop everything and go on at `offset`. Raises StorageError; it can then be repeated."""
        self._read_ends = None
        self._interrupt_cleaning()
        self.first_dirty_offset = -1
        for segment in self._segments:
            self._doom(segment)
        self._add_segment(offset)
        self.log_start_offset = self.log_end_offset = self._high_watermark = offset
        self.group_commit.on_truncate(self.log_end_offset)
        self.leader_epochs.clear()
        self._snapshots.drop_above(-1)
        self.producer_states.replace([], offset)

    def delete_records_before(self, offset: int) -> int:
        """Raise the log start offset to `offset` and drop the segments below it; answers the log start offset.

        -1 means the high watermark. Raises KafkaError: OFFSET_OUT_OF_RANGE beyond the high watermark,
        POLICY_VIOLATION where the topic is only compacted.
        """
        if not self._config.deletes:
            raise KafkaError(ErrorCode.POLICY_VIOLATION, "cleanup.policy of the topic does not allow deletion.")
        target = self._high_watermark if offset == -1 else offset
        if target < 0 or target > self._high_watermark:
            raise KafkaError(
                ErrorCode.OFFSET_OUT_OF_RANGE, f"Offset {target} is beyond the high watermark {self._high_watermark}."
            )
        self.advance_log_start_offset(target)
        return self.log_start_offset

    def advance_log_start_offset(self, offset: int) -> None:
        """Raise the log start offset (never lowers it) and forget what lies below. Raises StorageError."""
        if offset <= self.log_start_offset:
            return
        self.log_start_offset = offset
        self._high_watermark = max(self._high_watermark, offset)
        self.leader_epochs.truncate_from_start(offset)
        doomed = [
            segment
            for index, segment in enumerate(self._segments)
            if index + 1 < len(self._segments) and self._segments[index + 1].base_offset <= offset
        ]
        for segment in doomed:
            self.delete_segment(segment)

    def delete_segment(self, segment: Segment) -> None:
        """Forget a segment, not the active one; its files go after `file.delete.delay.ms`. Raises StorageError."""
        assert segment is not self._segments.active
        self._interrupt_cleaning()
        self._doom(segment)
        first = self._segments[0].base_offset
        if first > self.log_start_offset:
            self.log_start_offset = first
            self.leader_epochs.truncate_from_start(first)

    def _doom(self, segment: Segment) -> None:
        """Forget a segment once its files bear names that no log reads."""
        due_ms = self._env.clock.monotonic_ms() + self._config.file_delete_delay_ms
        self._doomed.add([*segment.paths(), self._snapshots.path(segment.base_offset)], due_ms)
        self._snapshots.forget(segment.base_offset)
        self._segments.remove(segment)

    def replace_segments(self, bases: Sequence[int]) -> None:
        """Put the `.cleaned` segment that was made from those at `bases` in their place.

        Raises StorageError; the log is then as before, unless the disk refused to undo too: the next start finishes
        it. The names are synced by the caller.
        """
        disk = self._env.disk
        old = [self._segments[self._segments.floor_index(base)] for base in bases]
        snapshots = [self._snapshots.path(base) for base in bases[1:]]
        old_paths = [path for segment in old for path in segment.paths()]
        renames = replacement_renames(disk, old[0].paths(), old_paths + snapshots)
        rename_all(disk, renames.steps)
        self._doomed.note(renames.doomed, self._env.clock.monotonic_ms() + self._config.file_delete_delay_ms)
        for base in bases[1:]:
            self._snapshots.forget(base)
        self._segments.replace(old, self._segment(bases[0]))

    def _interrupt_cleaning(self) -> None:
        if self.cleaning is not None:
            self.cleaning.interrupt()

    def hasten_removal(self) -> None:
        """Have the deleted segments go with the next removal."""
        self._doomed.hasten()

    def remove_doomed_files(self) -> None:
        """Unlink the deleted segments whose delay is over, in the background. What fails is tried again."""
        self._doomed.remove_due(self._env.clock.monotonic_ms())

    def _add_segment(self, base_offset: int) -> Segment:
        segment = self._segment(base_offset)
        if segment.size:  # left by a deletion that failed half-way
            self._doomed.add(segment.paths(), self._env.clock.monotonic_ms())
            segment = self._segment(base_offset)
        segment.create()
        self._segments.add(segment)
        return segment

    def _segment(self, base_offset: int) -> Segment:
        env = self._env
        interval_bytes = self._config.index_interval_bytes
        made_ms = env.clock.wall_ms()
        return Segment(env.disk, self.directory, base_offset, interval_bytes, made_ms, env.open_files)
