"""One partition's log: open, append, flush, close. Reading, truncation and deletion are in `log_contents`, its base.

Invariant: an append is one write(2) of the caller's memory, header stamped in place; when it fails the log is as
before and stays usable. Everything below `recovery_point` is on the device. One owner: its Partition, in one thread.
Not its business: who may read how far (the caller gives the bound), replication, when retention runs.
Source: Kafka UnifiedLog, LocalLog.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.types import TopicId, TopicPartition
from tailrace.log import partition_metadata
from tailrace.log.append_rules import batch_rules, must_roll, roll_ms
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.flushing import Done, told_nobody
from tailrace.log.log_contents import LogContents
from tailrace.log.older_retries import admit
from tailrace.log.recovery import NOTHING_KNOWN, KnownOffsets, LoadedLog, load
from tailrace.log.results import AppendInfo as AppendInfo
from tailrace.log.results import AppendOrigin as AppendOrigin
from tailrace.log.results import FetchSlice as FetchSlice
from tailrace.log.retention import next_due_ms, segments_to_delete
from tailrace.log.segment import Segment
from tailrace.log.snapshots import aborted_txn
from tailrace.records.batch import TIMESTAMP_TYPE_MASK, RecordBatch, iter_whole_batches, stamp, stamp_append_time
from tailrace.records.control import end_txn_marker
from tailrace.records.validate import recompressed, single_batch, validate_client_batch

INDEX_ENTRY_MAX_BYTES: Final = 12
"""What a batch may add to the larger index of its segment: an entry of the time index."""

EPOCH_MAX: Final = 2**31 - 1
"""The highest leader epoch there is."""

_CLIENT: Final = AppendOrigin.CLIENT
"""Looked up once: each append asks for it."""


class Log(LogContents):
    """The log of one partition. Made by `Log.open`."""

    __slots__ = ("_flush_every", "_is_append_time", "_roll_ms", "_rules")

    def __init__(
        self,
        directory: Path,
        topic_partition: TopicPartition,
        config: LogConfig,
        env: LogEnvironment,
        loaded: LoadedLog,
    ) -> None:
        super().__init__(directory, topic_partition, config, env, loaded)
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
        if origin is _CLIENT:
            validate_client_batch(batch, self._rules, now_ms)
        if self._rules.compression_type != "producer":
            rebuilt = recompressed(batch, self._rules.compression_type)
            if rebuilt is not None:
                batch = RecordBatch.parse(memoryview(rebuilt))
        if batch.producer_id >= 0 and not batch.is_control:
            known = admit(self._segments, self.producer_states, batch, origin is _CLIENT)
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

    def append_as_follower(self, records: memoryview, epoch_max: int = EPOCH_MAX) -> AppendInfo:
        """Append a leader's batches as they are: their offsets and epochs are the leader's.

        A last batch that is cut is left out, and so is what follows a batch of an epoch above `epoch_max`: it was
        written after the answer was asked for, by a leader that the caller does not know of (KAFKA-18723).
        Raises KafkaError: CORRUPT_MESSAGE, OFFSET_OUT_OF_RANGE where a batch lies below the log's end; StorageError.
        The batches before the one at fault stay appended.
        """
        batches: list[RecordBatch] = []
        fault: KafkaError | None = None
        try:
            self._check_as_follower(records, epoch_max, batches)
        except KafkaError as error:
            fault = error
        now_ms = self._env.clock.wall_ms()
        if self._fits_one_write(batches, now_ms):
            self._append_run(records, batches)
        else:
            for batch in batches:
                self._append(batch, now_ms)
        if fault is not None:
            raise fault
        first_offset = batches[0].base_offset if batches else -1
        return AppendInfo(first_offset, self.log_end_offset - 1, -1, self.log_start_offset, False)

    def _check_as_follower(self, records: memoryview, epoch_max: int, sound: list[RecordBatch]) -> None:
        """Put the batches that may be appended into `sound`, as far as the first at fault. Raises KafkaError."""
        end_offset = self.log_end_offset
        for batch in iter_whole_batches(records):
            if batch.partition_leader_epoch > epoch_max:
                break
            if not batch.crc_valid():
                raise KafkaError(ErrorCode.CORRUPT_MESSAGE, f"batch at offset {batch.base_offset} fails its CRC")
            if batch.base_offset < end_offset:
                raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE, f"batch at {batch.base_offset} is below {end_offset}")
            sound.append(batch)
            end_offset = batch.next_offset

    def _fits_one_write(self, batches: Sequence[RecordBatch], now_ms: int) -> bool:
        """Whether several batches go to the end of the active segment and nothing but accounting is to be done."""
        if len(batches) < 2:
            return False
        segment, config, epoch = self._segments.active, self._config, self.leader_epochs.written_epoch
        room_bytes = config.segment_bytes - segment.size - sum(batch.size for batch in batches)
        index_room_bytes = config.segment_index_bytes - segment.index_bytes - INDEX_ENTRY_MAX_BYTES * len(batches)
        if not segment.size or room_bytes < 0 or index_room_bytes <= 0:
            return False
        return not any(
            batch.partition_leader_epoch != epoch
            or batch.is_control
            or must_roll(segment, batch, config, self._roll_ms, now_ms)
            for batch in batches
        )

    def _append_run(self, records: memoryview, batches: Sequence[RecordBatch]) -> None:
        """`_append` of batches that lie end to end in `records`, where `_fits_one_write`."""
        self._segments.active.append_run(records[: sum(batch.size for batch in batches)], batches)
        states = self.producer_states
        for batch in batches:
            if batch.producer_id >= 0:
                states.update(batch)
        self.log_end_offset = states.map_end_offset = batches[-1].next_offset
        if self.log_end_offset - self._flushing.flushed_offset >= self._flush_every:
            self.group_commit.want(self.log_end_offset)

    def _append(self, batch: RecordBatch, now_ms: int) -> None:
        """Write a stamped batch and account for it."""
        marker = None
        if batch.producer_id >= 0 and batch.is_control:
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

    # Retention

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

    @property
    def is_flush_due(self) -> bool:
        """Whether there is something to flush and `flush.ms` has passed since the last time."""
        return self.log_end_offset > self.recovery_point and self._flushing.is_due(self._config.flush_ms)

    def begin_flush(self, done: Done = told_nobody) -> None:
        """Begin to flush everything, in the background; then `done(None)`, or why it failed.

        Where all is flushed, or while such a flush is running, nothing begins and `done(None)` comes at once.
        """
        if self.log_end_offset > self.recovery_point:
            self._flushing.begin(self.directory, self.log_end_offset, done)
        else:
            done(None)

    def settle(self) -> None:
        """Write what `close` writes, unsynced: the producer snapshot and the indexes. Raises StorageError."""
        self._snapshots.write_last(self.producer_states, self.log_start_offset, self.log_end_offset)
        self._segments.active.settle()

    def begin_close(self, done: Done) -> None:
        """Begin what `close` would otherwise wait for: then it finds nothing left to flush."""
        with suppress(StorageError):  # `close` tries again and tells
            self.settle()
        self.begin_flush(done)

    def on_volume_synced(self) -> None:
        """Everything that this log has written is on the device."""
        self._flushing.on_volume_synced(self.log_end_offset)

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
