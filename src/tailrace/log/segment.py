"""One segment: a .log file of batches and its three indexes.

    <base offset>.log        batches, end to end, in the wire format
    <base offset>.index      offset -> position        (offset_index)
    <base offset>.timeindex  timestamp -> offset       (time_index)
    <base offset>.txnindex   aborted transactions      (txn_index)

Invariant: `size` is the end of the last whole batch; what a failed write left beyond it is cut before anything else is
written. Offsets in [base_offset, base_offset + 2^31). The .log descriptor is opened when first needed.
Not its business: when to roll or delete, producer state, epochs. One owner: its Log. Source: Kafka LogSegment.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from tailrace.base.disk import Disk, File, write_fully
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.log import offset_index, time_index
from tailrace.log.filenames import (
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    offset_file,
)
from tailrace.log.offset_index import OffsetIndex
from tailrace.log.open_files import OpenFiles
from tailrace.log.time_index import TimeIndex
from tailrace.log.txn_index import TxnIndex
from tailrace.records.batch import HEADER_SIZE, LOG_OVERHEAD, RecordBatch

MAX_RELATIVE_OFFSET: Final = (1 << 31) - 1
_SCAN_CHUNK_BYTES: Final = 64 * 1024
_UNINDEXED_MAX_BYTES: Final = 1 << 20
"""A segment above this has offset index entries, or so few batches that looking for them costs nothing."""
_SHORT_HEADER: Final = struct.Struct(">qi11xi")
"""base_offset, batch_length, last_offset_delta: what a search looks at."""


class BatchPosition(NamedTuple):
    """Where a batch lies in its segment."""

    position: int
    size: int
    base_offset: int
    last_offset: int


class Segment:
    """Batches from `base_offset` up to the next segment's."""

    __slots__ = (
        "_bytes_since_index",
        "_disk",
        "_entry_count",
        "_first_timestamp",
        "_is_touched",
        "_log",
        "_max_timestamp",
        "_is_ready",
        "__weakref__",
        "_open_files",
        "base_offset",
        "created_ms",
        "index_interval_bytes",
        "offset_index",
        "path",
        "size",
        "time_index",
        "txn_index",
    )

    def __init__(
        self,
        disk: Disk,
        directory: Path,
        base_offset: int,
        index_interval_bytes: int,
        created_ms: int,
        open_files: OpenFiles | None = None,
    ) -> None:
        """`open_files` bounds how many segments hold their file, and how much of their indexes is in memory; None:
        nobody counts this one's."""
        self._disk = disk
        self._open_files = open_files
        self.base_offset = base_offset
        self.index_interval_bytes = index_interval_bytes
        self.created_ms = created_ms
        self.path = offset_file(directory, base_offset, LOG_SUFFIX)
        indexes = open_files.indexes if open_files is not None else None
        self.offset_index = OffsetIndex(disk, offset_file(directory, base_offset, INDEX_SUFFIX), base_offset, indexes)
        self.time_index = TimeIndex(disk, offset_file(directory, base_offset, TIME_INDEX_SUFFIX), base_offset, indexes)
        self.txn_index = TxnIndex(disk, offset_file(directory, base_offset, TXN_INDEX_SUFFIX))
        found = disk.stat(self.path)
        self.size = found.size if found is not None else 0
        self._log: File | None = None
        self._is_touched = False
        self._is_ready = False
        self._bytes_since_index = 0
        self._entry_count = 0
        self._first_timestamp: int | None = None
        self._max_timestamp: tuple[int, int] | None = None

    @property
    def file(self) -> File:
        """The .log file, opened when first asked for, and again after `release_file`. Raises StorageError."""
        log = self._log
        if log is None:
            log = self._log = self._disk.open(self.path)
            self._is_touched = True
            if self._open_files is not None:
                self._open_files.hold(self)
        return log

    def release_file(self) -> None:
        """Let go of the .log file, which stays open for slices that are being sent."""
        self._log = None

    def rest(self) -> None:
        """Hold no descriptor until the next use."""
        self._log = None
        if self._open_files is not None:
            self._open_files.forget(self)

    @property
    def max_timestamp(self) -> tuple[int, int]:
        """(largest timestamp, last offset of the first batch that reached it); (-1, base offset) where none has one."""
        if self._max_timestamp is None:
            # A sealed segment's last entry says it all; the active one's tail beyond it has been scanned at opening.
            self._max_timestamp = self.time_index.last() or (-1, self.base_offset)
        return self._max_timestamp

    @property
    def first_timestamp(self) -> int:
        """Timestamp of the first batch, -1 where there is none: what time-based rolling counts from."""
        if self._first_timestamp is None:
            if self.size < HEADER_SIZE:
                return -1
            self._first_timestamp = self.header_at(0).max_timestamp
        return self._first_timestamp

    @property
    def index_bytes(self) -> int:
        """Bytes of the larger index, the last time entry to come included: what `segment.index.bytes` limits."""
        return (self._entry_count + 1) * time_index.ENTRY_SIZE

    def has_plausible_indexes(self) -> bool:
        """Whether the index files can be this log's, as far as their sizes and one header tell."""
        if self.size == 0:
            return True
        entries_bytes = self.offset_index.file_size()
        times_bytes = self.time_index.file_size()
        if (
            entries_bytes % offset_index.ENTRY_SIZE
            or times_bytes % time_index.ENTRY_SIZE
            or not self.txn_index.is_sane(self.base_offset)
        ):
            return False
        if entries_bytes == 0 and self.size > _UNINDEXED_MAX_BYTES:
            return False
        # A segment that was sealed or closed has a time entry, unless its records have no timestamps.
        return times_bytes > 0 or self.first_timestamp < 0

    def has_sound_indexes(self) -> bool:
        """Whether the index files fit the log as far as all of their entries tell; reads them."""
        return self.has_plausible_indexes() and self.offset_index.is_sane(self.size) and self.time_index.is_sane()

    def modified_ms(self) -> int:
        """When the .log file was last written, ms since 1970."""
        found = self._disk.stat(self.path)
        return found.modified_ms if found is not None else self.created_ms

    # Writing

    def append(self, data: memoryview, batch: RecordBatch) -> None:
        """Write one stamped batch at the end. `data` is its bytes. Raises StorageError; then nothing was appended."""
        if not self._is_ready:
            self._make_ready()
        file = self._log or self.file
        try:
            written = file.write(data)
            if written != len(data):
                # A full disk, or more than 2 GiB at once: the next write tells which.
                write_fully(file, data[written:])
        except StorageError:
            self._is_ready = False
            with suppress(StorageError):
                self._cut()
            raise
        self._note(batch, self.size)

    def append_run(self, data: memoryview, batches: Sequence[RecordBatch]) -> None:
        """Write batches that lie end to end in `data`, all of it, with one write. As `append` for all or none."""
        self.append(data, batches[0])
        for batch in batches[1:]:
            self._note(batch, self.size)

    def _make_ready(self) -> None:
        """Cut what a failed write left, and read all that accounting for a batch needs: after the write it may not
        fail. Raises StorageError."""
        self._cut()
        _ = self.max_timestamp, self.first_timestamp
        for index in (self.offset_index, self.time_index, self.txn_index):
            index.load()
        self._is_ready = True

    def _cut(self) -> None:
        if self.file.size() > self.size:
            self.file.truncate(self.size)

    def _note(self, batch: RecordBatch, position: int) -> None:
        """Account for a batch that lies at `position`, the end: indexes, timestamps, size."""
        largest = self._max_timestamp or self.max_timestamp
        if batch.max_timestamp > largest[0]:
            self._max_timestamp = (batch.max_timestamp, batch.last_offset)
        if self._first_timestamp is None:
            self._first_timestamp = self.first_timestamp if position else batch.max_timestamp
        if self._bytes_since_index > self.index_interval_bytes:
            self.offset_index.append(batch.last_offset, position)
            self.time_index.maybe_append(*self.max_timestamp)
            self._bytes_since_index = 0
            self._entry_count += 1
        self._bytes_since_index += batch.size
        self.size = position + batch.size

    def start_rebuild(self) -> None:
        """Drop the indexes and forget every batch; `note_present` tells of them again."""
        self.offset_index.reset()
        self.time_index.reset()
        self.txn_index.reset()
        self.size = 0
        self._bytes_since_index = 0
        self._entry_count = 0
        self._first_timestamp = None
        self._max_timestamp = (-1, self.base_offset)

    def indexed_below(self, offset: int) -> tuple[int, RecordBatch] | None:
        """(position, header) of the last batch that is indexed below `offset`.

        None where there is none, or the indexes do not fit the log. Raises StorageError.
        """
        if not self.has_sound_indexes():
            return None
        kept = self.offset_index.last_below(offset)
        if kept is None or (not len(self.time_index) and self.first_timestamp >= 0):
            return None
        try:
            batch = self.header_at(kept[1])
        except KafkaError:
            return None
        return (kept[1], batch) if batch.last_offset == kept[0] and kept[1] + batch.size <= self.size else None

    def rewind(self, position: int, batch: RecordBatch, txns_from: int) -> int:
        """Forget every batch after this one of `indexed_below`, and their index entries, aborted transactions only
        from offset `txns_from` on; answers the position after it, from where `note_present` tells of the rest again.

        The log file stays as it is. What was noted again leaves the same indexes as a rebuild from the start.
        """
        self.offset_index.truncate(batch.next_offset)
        self.time_index.truncate(batch.next_offset)
        self.txn_index.truncate(txns_from)
        self._max_timestamp = self.time_index.last() or (-1, self.base_offset)
        self._first_timestamp = None
        self._entry_count = len(self.offset_index)
        self._bytes_since_index = batch.size
        self.size = position + batch.size
        return self.size

    def note_present(self, position: int, batch: RecordBatch) -> None:
        """Account for a batch that is already in the file, at `position`."""
        self._note(batch, position)

    def resume(self) -> None:
        """Take up appending to a segment that was closed cleanly: learn what lies beyond its last index entry."""
        last = self.offset_index.last()
        start = last[1] if last is not None else 0
        max_timestamp = self.max_timestamp
        self._entry_count = max(len(self.offset_index), len(self.time_index))
        self._bytes_since_index = 0
        for position, batch in self.headers_of_span(start):
            if batch.max_timestamp > max_timestamp[0]:
                max_timestamp = (batch.max_timestamp, batch.last_offset)
            self._bytes_since_index = position + batch.size - start
        self._max_timestamp = max_timestamp

    def seal(self) -> bool:
        """No more appends for now: the time index gets its last entry. Whether any index had something to write.

        Raises StorageError.
        """
        self.time_index.maybe_append(*self.max_timestamp)
        indexes = (self.offset_index, self.time_index, self.txn_index)
        changed = any(index.pending_bytes for index in indexes)
        for index in indexes:
            index.write_pending()  # makes the files too, empty or not
        self._is_ready = False
        self.offset_index.settle()
        self.time_index.settle()
        return changed

    def write_pending(self) -> None:
        """Write what the indexes hold back, so that a sync of their files has it. Raises StorageError."""
        for index in (self.offset_index, self.time_index, self.txn_index):
            index.write_pending()

    def settle(self) -> bool:
        """`seal`, where anything was done with the segment since it was opened or unloaded."""
        return self._is_touched and self.size > 0 and self.seal()

    def flush(self) -> None:
        """Sync log and indexes. Raises StorageError."""
        self.file.sync()
        self.offset_index.flush()
        self.time_index.flush()
        self.txn_index.flush()

    def truncate_to(self, offset: int) -> int:
        """Drop every batch that reaches `offset` or beyond; answers how many bytes went. Raises StorageError."""
        found = self.find(offset)
        if found is None:
            return 0
        gone = self.size - found.position
        self.file.truncate(found.position)
        self.size = found.position
        self.offset_index.truncate(offset)
        self.time_index.truncate(offset)
        self.txn_index.truncate(offset)
        self._max_timestamp = None
        self._first_timestamp = None
        self.resume()
        return gone

    # Reading

    def find(self, offset: int, start: int | None = None) -> BatchPosition | None:
        """The first batch whose last offset is at or above `offset`, None where there is none.

        Reads from one index entry on: at most `index_interval_bytes` and a batch. Raises StorageError; KafkaError
        (CORRUPT_MESSAGE) where the bytes are no batches.
        """
        position = self.offset_index.lookup(offset) if start is None else start
        size = self.size
        if position >= size:  # before the file is opened, and so made
            return None
        chunk_size = self.index_interval_bytes + HEADER_SIZE
        read = self.file.pread
        unpack = _SHORT_HEADER.unpack_from
        while position < size:
            chunk = read(min(chunk_size, size - position), position)
            at = 0
            while at + HEADER_SIZE <= len(chunk):
                base, length, delta = unpack(chunk, at)
                batch_size = length + LOG_OVERHEAD
                if batch_size < HEADER_SIZE:
                    raise self._corrupt(position + at)
                if base + delta >= offset:
                    return BatchPosition(position + at, batch_size, base, base + delta)
                at += batch_size
            if at == 0:
                raise self._corrupt(position)
            position += at
        return None

    def header_at(self, position: int) -> RecordBatch:
        """The header of the batch at `position`. Raises as `find`."""
        return RecordBatch.parse_header(memoryview(self.file.pread(HEADER_SIZE, position)))

    def batch_at(self, position: int, size: int) -> RecordBatch:
        """The whole batch at `position`. Raises as `find`."""
        return RecordBatch.parse(memoryview(self.file.pread(size, position)))

    def headers_of_span(self, position: int) -> Iterator[tuple[int, RecordBatch]]:
        """`headers` for a search that ends within an index entry's span: reads no more than that at once."""
        return self.headers(position, chunk_bytes=self.index_interval_bytes + HEADER_SIZE)

    def headers(
        self, position: int = 0, end: int | None = None, chunk_bytes: int = _SCAN_CHUNK_BYTES
    ) -> Iterator[tuple[int, RecordBatch]]:
        """(position, header) of each batch from the one at `position` on, up to `end` (`size`). Raises as `find`."""
        end = self.size if end is None else end
        if position >= end:
            return
        read = self.file.pread
        while position < end:
            chunk = memoryview(read(min(chunk_bytes, end - position), position))
            at = 0
            while at + HEADER_SIZE <= len(chunk):
                batch = RecordBatch.parse_header(chunk[at : at + HEADER_SIZE])
                if position + at + batch.size > end:
                    raise self._corrupt(position + at)
                yield position + at, batch
                at += batch.size
            if at == 0:
                raise self._corrupt(position)
            position += at

    def next_offset(self) -> int:
        """Offset after the last batch; the base offset where there is none."""
        last = self.offset_index.last()
        next_offset = self.base_offset
        for _, batch in self.headers_of_span(last[1] if last is not None else 0):
            next_offset = batch.next_offset
        return next_offset

    def _corrupt(self, position: int) -> KafkaError:
        return KafkaError(ErrorCode.CORRUPT_MESSAGE, f"{self.path} has no batch at position {position}")

    # Life

    def create(self) -> None:
        """Make the .log file of an empty segment. Raises StorageError."""
        if self.size or self._disk.stat(self.path) is None:
            _ = self.file

    def close(self) -> None:
        """Write what waits and close the files. Raises StorageError."""
        log = self._log
        if self._is_touched:
            self.settle()
            self.unload()
        if log is not None:
            log.close()

    def abandon(self) -> None:
        """Close the files as they are, nothing written: what a crash would leave."""
        log = self._log
        self.release()
        if log is not None:
            log.close()

    def release(self) -> None:
        """Let go of the files without touching them. Slices that are being sent keep theirs."""
        for index in (self.offset_index, self.time_index, self.txn_index):
            index.drop_pending()
        self.unload()

    def unload(self) -> None:
        """Forget what can be loaded again: descriptor and index entries. Slices that are being sent keep the file."""
        self.offset_index.unload()
        self.time_index.unload()
        self._log = None
        self._is_touched = False
        self._is_ready = False
        if self._open_files is not None:
            self._open_files.forget(self)

    def paths(self) -> list[Path]:
        """The files a segment may have."""
        return [self.path, self.offset_index.path, self.time_index.path, self.txn_index.path]
