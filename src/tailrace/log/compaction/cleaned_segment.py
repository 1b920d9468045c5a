"""Writes one cleaned segment beside the log: the four files of a segment with `.cleaned` behind their names.

Invariant: `finish` returns with everything on the device; until somebody renames the files no log reads them, and the
next start removes them. Runs in the cleaner's thread, over files of its own.
Not its business: which batches, the swap (`log.replacement`). Source: Kafka UnifiedLog.createNewCleanedSegment.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

from tailrace.base.disk import Disk, write_fully
from tailrace.base.errors import StorageError
from tailrace.log.filenames import (
    CLEANED_SUFFIX,
    INDEX_SUFFIX,
    LOG_SUFFIX,
    TIME_INDEX_SUFFIX,
    TXN_INDEX_SUFFIX,
    offset_file,
)
from tailrace.log.offset_index import OffsetIndex
from tailrace.log.time_index import TimeIndex
from tailrace.log.txn_index import AbortedTxn, TxnIndex
from tailrace.records.batch import RecordBatch
from tailrace.records.compression import Buffer

WRITE_BYTES: Final = 256 * 1024
"""Bytes gathered before a write: batches are often small, and a write costs 10 us."""


class CleanedSegment:
    """The files `<base offset>.*.cleaned` of `directory`, while they are written."""

    def __init__(self, disk: Disk, directory: Path, base_offset: int, index_interval_bytes: int) -> None:
        """Create the log file. What an aborted cleaning left under the names goes. Raises StorageError."""
        self._disk = disk
        self.base_offset = base_offset
        self._interval_bytes = index_interval_bytes
        suffixes = (LOG_SUFFIX, INDEX_SUFFIX, TIME_INDEX_SUFFIX, TXN_INDEX_SUFFIX)
        self.paths = [offset_file(directory, base_offset, suffix + CLEANED_SUFFIX) for suffix in suffixes]
        for path in self.paths:
            disk.remove(path)
        log_path, index_path, time_path, txn_path = self.paths
        self._offsets = OffsetIndex(disk, index_path, base_offset)
        self._times = TimeIndex(disk, time_path, base_offset)
        self._txns = TxnIndex(disk, txn_path)
        self._file = disk.open(log_path)
        self._waiting = bytearray()
        self.size = 0
        self._bytes_since_index = 0
        self._largest = (-1, base_offset)

    def append(self, data: Buffer, batch: RecordBatch) -> None:
        """Add what is left of a batch, whose header is in `data`. Raises StorageError."""
        left = RecordBatch.parse_header(memoryview(data))
        if left.max_timestamp > self._largest[0]:
            self._largest = (left.max_timestamp, batch.last_offset)
        if self._bytes_since_index > self._interval_bytes:
            self._offsets.append(batch.last_offset, self.size)
            self._times.maybe_append(*self._largest)
            self._bytes_since_index = 0
        self._waiting += data
        self.size += len(data)
        self._bytes_since_index += len(data)
        if len(self._waiting) >= WRITE_BYTES:
            self._write()

    def add_aborted(self, aborted: Iterable[AbortedTxn]) -> None:
        """Add entries to the transaction index, by rising marker."""
        for txn in aborted:
            self._txns.append(txn)

    def finish(self, modified_ms: int) -> None:
        """Write what waits and sync all of it. The log file keeps the time of those it replaces, by which retention
        judges records without timestamps. Raises StorageError."""
        self._times.maybe_append(*self._largest)
        self._write()
        self._file.sync()
        self._file.close()
        self._offsets.flush()
        self._times.flush()
        self._txns.flush()
        self._disk.set_modified(self.paths[0], modified_ms)

    def _write(self) -> None:
        if self._waiting:
            write_fully(self._file, self._waiting)
            self._waiting = bytearray()

    def discard(self) -> None:
        """Remove the files. What the disk refuses to remove the next start does."""
        with suppress(StorageError):
            self._file.close()
            remove_cleaned(self._disk, self.paths)


def remove_cleaned(disk: Disk, paths: Iterable[Path]) -> None:
    """Remove the files of a cleaned segment that is not wanted. Raises StorageError."""
    for path in paths:
        disk.remove(path)
