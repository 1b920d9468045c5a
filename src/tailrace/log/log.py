"""One partition's log: append, read, truncate, flush.

    log_start_offset <= last_stable_offset <= high_watermark <= log_end_offset

Invariant: offsets below `log_end_offset` are in the segments, each once; nothing above it is ever read. An append is
one write(2) of the caller's memory, header stamped in place; when it fails the log is as before and stays usable.
Everything below `recovery_point` is on the device. One owner: its Partition, in one thread.
Not its business: who may read how far (the caller gives the bound), replication, when retention runs.
Source: Kafka UnifiedLog, LocalLog.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.types import TopicId, TopicPartition
from tailrace.log import lookup, partition_metadata
from tailrace.log.append_rules import batch_rules, must_roll, roll_ms
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.files import DoomedFiles, rename_all
from tailrace.log.flushing import Done, Flushing, told_nobody
from tailrace.log.group_commit import GroupCommit
from tailrace.log.leader_epochs import LeaderEpochs
from tailrace.log.older_retries import admit
from tailrace.log.producer_state import ProducerEntry, ProducerStates
from tailrace.log.recovery import NOTHING_KNOWN, KnownOffsets, LoadedLog, load
from tailrace.log.replacement import RunningCleaning, replacement_renames
from tailrace.log.results import EMPTY_SLICE
from tailrace.log.results import AppendInfo as AppendInfo
from tailrace.log.results import AppendOrigin as AppendOrigin
from tailrace.log.results import FetchSlice as FetchSlice
from tailrace.log.retention import next_due_ms, segments_to_delete
from tailrace.log.segment import Segment
from tailrace.log.segments import Segments
from tailrace.log.snapshots import Snapshots, aborted_txn
from tailrace.log.txn_index import AbortedTxn
from tailrace.records.batch import TIMESTAMP_TYPE_MASK, RecordBatch, stamp, stamp_append_time
from tailrace.records.control import end_txn_marker
from tailrace.records.validate import recompressed, single_batch, validate_client_batch


class Log:
    """The log of one partition. Made by `Log.open`."""

    __slots__ = (
        "_config",
        "_doomed",
        "_env",
        "_flush_every",
        "_flushing",
        "_high_watermark",
        "_is_append_time",
        "_roll_ms",
        "_rules",
        "_segments",
        "_snapshots",
        "cleaning",
        "directory",
        "group_commit",
        "first_dirty_offset",
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
        self.first_dirty_offset = -1
        self.cleaning = None
        self.update_config(config)

    @classmethod
    def open(
        cls,
        directory: Path,
        topic_partition: TopicPartition,
        config: LogConfig,
        env: LogEnvironment,
        known: KnownOffsets = NOTHING_KNOWN,
        *,
        was_clean: bool = False,
    ) -> Log:
        """Open the log in `directory`, making it where it is missing; mend it where it was not closed cleanly.

        A log said to be clean that turns out not to be is mended as well. Raises StorageError.
        """
        env.disk.make_directory(directory)
        try:
            loaded = load(directory, config, env, known, was_clean=was_clean)
        except KafkaError:
            if not was_clean:
                raise
            loaded = load(directory, config, env, known, was_clean=False)
        return cls(directory, topic_partition, config, env, loaded)

    # Settings

    @property
    def config(self) -> LogConfig:
        return self._config

    def update_config(self, config: LogConfig) -> None:
        """Obey other settings from here on."""
        self._config = config
        if not config.compacts:
            self._interrupt_cleaning()
        self._flush_every = 1 if config.flush_before_ack else config.flush_messages
        self._is_append_time = config.message_timestamp_type == "LogAppendTime"
        self._rules = batch_rules(config)
        self._roll_ms = roll_ms(config, self._env.random)
        for segment in self._segments:
            segment.index_interval_bytes = config.index_interval_bytes

    def set_topic_id(self, topic_id: TopicId) -> None:
        """Write the topic id beside the log, once, before its first record. Raises StorageError."""
        partition_metadata.write(self._env.disk, self.directory, topic_id)
        self.topic_id = topic_id

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

    # Appending

    def append_as_leader(
        self, records: memoryview, leader_epoch: int, origin: AppendOrigin = AppendOrigin.CLIENT
    ) -> AppendInfo:
        """Append one batch with the next offsets. `records` must be writable: its header is stamped in place.

        A retry of a batch that is remembered is answered with the first one's offsets and appends nothing.
        Raises KafkaError or InvalidRecords for a refused batch, StorageError when the write fails; nothing changed.
        """
        batch = single_batch(records)
        now_ms = self._env.clock.wall_ms()
        if origin is AppendOrigin.CLIENT:
            validate_client_batch(batch, self._rules, now_ms)
        if self._rules.compression_type != "producer":
            rebuilt = recompressed(batch, self._rules.compression_type)
            if rebuilt is not None:
                batch = RecordBatch.parse(memoryview(rebuilt))
        if batch.producer_id >= 0 and not batch.is_control:
            known = admit(self._segments, self.producer_states, batch, origin is AppendOrigin.CLIENT)
            if known is not None:
                return AppendInfo(known.first_offset, known.last_offset, known.timestamp, self.log_start_offset, True)
        if batch.size > self._config.segment_bytes:
            raise KafkaError(
                ErrorCode.RECORD_LIST_TOO_LARGE,
                f"The batch of {batch.size} bytes is larger than segment.bytes {self._config.segment_bytes}.",
            )
        base_offset = self.log_end_offset
        stamp(batch.view, base_offset, leader_epoch)
        batch.base_offset = base_offset
        batch.partition_leader_epoch = leader_epoch
        append_time = -1
        if self._is_append_time:
            append_time = batch.max_timestamp = now_ms
            stamp_append_time(batch.view, now_ms)
            batch.attributes |= TIMESTAMP_TYPE_MASK
        self._append(batch, now_ms)
        return AppendInfo(base_offset, self.log_end_offset - 1, append_time, self.log_start_offset, False)

    def append_as_follower(self, records: memoryview) -> AppendInfo:
        """Append a leader's batches as they are: their offsets and epochs are the leader's.

        Raises KafkaError: CORRUPT_MESSAGE, OFFSET_OUT_OF_RANGE where a batch lies below the log's end; StorageError.
        The batches before the one at fault stay appended.
        """
        first_offset = -1
        position = 0
        now_ms = self._env.clock.wall_ms()
        while position < len(records):
            batch = RecordBatch.parse(records, position)
            if not batch.crc_valid():
                raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"batch at offset {batch.base_offset} fails its CRC")
            if batch.base_offset < self.log_end_offset:
                raise KafkaError(
                    ErrorCode.OFFSET_OUT_OF_RANGE, f"batch at {batch.base_offset} is below {self.log_end_offset}"
                )
            first_offset = batch.base_offset if first_offset < 0 else first_offset
            self._append(batch, now_ms)
            position += batch.size
        return AppendInfo(first_offset, self.log_end_offset - 1, -1, self.log_start_offset, False)

    def _append(self, batch: RecordBatch, now_ms: int) -> None:
        """Write a stamped batch and account for it."""
        marker = None
        if batch.is_control and batch.producer_id >= 0:
            marker = end_txn_marker(batch)
            if marker is not None:
                self.producer_states.check_marker(batch, marker)
        segment = self._segments.active
        if must_roll(segment, batch, self._config, self._roll_ms, now_ms):
            segment = self.roll(batch.base_offset)
        if batch.partition_leader_epoch != self.leader_epochs.written_epoch:
            self.leader_epochs.assign(batch.partition_leader_epoch, batch.base_offset)
        segment.append(batch.view, batch)
        self.log_end_offset = batch.base_offset + batch.last_offset_delta + 1
        states = self.producer_states
        if batch.producer_id >= 0:
            if marker is not None:
                completed = states.update_marker(batch, marker)
                if completed is not None and completed.is_aborted:
                    segment.txn_index.append(aborted_txn(states, completed))
            elif not batch.is_control:
                states.update(batch)
        states.map_end_offset = self.log_end_offset
        if self.log_end_offset - self._flushing.flushed_offset >= self._flush_every:
            self.group_commit.want(self.log_end_offset)

    def roll(self, base_offset: int | None = None) -> Segment:
        """Seal the active segment and begin one at `base_offset` (the log's end). Answers the active segment.

        An empty active segment at that offset stays. The sealed one is flushed in the background.
        Raises StorageError; the active segment then stays the same.
        """
        base_offset = self.log_end_offset if base_offset is None else base_offset
        active = self._segments.active
        if active.size == 0 and active.base_offset == base_offset:
            return active
        active.seal()
        self._snapshots.write(self.producer_states.entries(), base_offset)
        segment = self._add_segment(base_offset)
        if active.size == 0:
            self._doom(active)
        self._flushing.begin_sealed(self.directory, base_offset)
        return segment

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
        self._interrupt_cleaning()
        if offset <= self._segments[0].base_offset:
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
        """Drop everything and go on at `offset`. Raises StorageError."""
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

    def apply_retention(self, now_ms: int) -> int:
        """Delete the segments that retention no longer keeps; answers how many. Raises StorageError.

        None while the log is being compacted: the cleaner asks again when it is done.
        """
        if self.cleaning is not None:
            return 0
        doomed = segments_to_delete(self._segments, self._config, self.log_start_offset, self._high_watermark, now_ms)
        if doomed and doomed[-1] is self._segments.active:
            self.roll()
        for segment in doomed:
            self.delete_segment(segment)
        for segment in self._segments:
            if segment is not self._segments.active:
                segment.unload()  # what readers of the past brought into memory since the last time
        return len(doomed)

    def retention_due_ms(self) -> float:
        """Wall clock's ms before which `apply_retention` finds nothing to do, if nothing else changes the log."""
        return next_due_ms(self._segments, self._config)

    @property
    def is_at_rest(self) -> bool:
        """Whether nothing waits: no flush, no compaction, no file to unlink. It may be dropped and opened again."""
        is_flushed = self.recovery_point == self.log_end_offset
        return is_flushed and not self._config.compacts and not self._doomed

    def expire_producers(self, now_ms: int) -> int:
        """Forget idle producers; answers how many."""
        return self.producer_states.expire(now_ms, self._config.producer_id_expiration_ms)

    # Flushing and closing

    def flush(self, upto: int | None = None) -> None:
        """Wait until everything below `upto` (the log's end) is on the device. Blocks. Raises StorageError."""
        upto = self.log_end_offset if upto is None else upto
        if upto <= self.recovery_point:
            return
        self._flushing.flush(self.directory, self.log_end_offset)

    def maybe_flush(self) -> None:
        """Begin to flush, in the background, if `flush.ms` has passed since the last time."""
        if self.log_end_offset > self.recovery_point and self._flushing.is_due(self._config.flush_ms):
            self.begin_flush()

    def begin_flush(self, done: Done = told_nobody) -> None:
        """Begin to flush everything, in the background; then `done(None)`, or why it failed.

        Where all is flushed, or while such a flush is running, nothing begins and `done(None)` comes at once.
        """
        if self.log_end_offset > self.recovery_point:
            self._flushing.begin(self.directory, self.log_end_offset, done)
        else:
            done(None)

    def begin_close(self, done: Done) -> None:
        """Begin what `close` would otherwise wait for: then it finds nothing left to flush."""
        try:
            self._snapshots.write_last(self.producer_states, self.log_start_offset, self.log_end_offset)
            self._segments.active.settle()
        except StorageError:
            pass  # `close` tries again and tells
        self.begin_flush(done)

    def close(self) -> None:
        """Flush, snapshot the producers and close the files. Raises StorageError."""
        self._end()
        self._snapshots.write_last(self.producer_states, self.log_start_offset, self.log_end_offset)
        if self._segments.active.settle() or self.log_end_offset > self.recovery_point:
            self._flushing.flush(self.directory, self.log_end_offset)
        for segment in self._segments:
            segment.close()

    def _end(self) -> None:
        """What runs elsewhere for this log has nobody to tell any more."""
        self._interrupt_cleaning()
        self._flushing.is_closed = True

    def release(self) -> None:
        """Let go of the files without touching them: their directory failed. Slices that are being sent keep theirs."""
        self._end()
        for segment in self._segments:
            segment.release()

    def abandon(self) -> None:
        """Close the files as a crash would leave them: nothing is flushed or noted."""
        self._end()
        for segment in self._segments:
            segment.abandon()

    def delete(self, unique_directory: Path) -> None:
        """Move the whole log aside to `unique_directory`, from where its owner removes it. No use of it after that.

        Its owner has the new name synced. Raises StorageError; the log is then as before.
        """
        self._env.disk.rename(self.directory, unique_directory)
        self._end()
        self.directory = unique_directory
