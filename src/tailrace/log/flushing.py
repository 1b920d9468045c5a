"""How far a log is on the device, and getting it there.

    recovery_point <= flushed_offset <= log_end_offset

Invariant: every batch below `flushed_offset` is on the device; below `recovery_point` its indexes, epochs and producer
snapshot are as well. Both are moved only after the fsync. Once an fsync has failed neither moves again: the kernel may
have dropped what it could not write, and the next fsync would answer that all is well.
Sealed segments are synced in the background, the batches that answers wait for by `group_commit`, the rest where the
caller asks.
Not its business: when (the log's settings say), what a failed fsync means for the directory (its owner decides).
Source: Kafka UnifiedLog.flush, LogManager.
"""

from __future__ import annotations

from pathlib import Path

from tailrace.base.disk import sync_path
from tailrace.base.errors import StorageError
from tailrace.log.config import LogEnvironment
from tailrace.log.filenames import PARTITION_METADATA
from tailrace.log.recovery import LoadedLog


def is_lost(error: StorageError) -> bool:
    """Whether `error` means that bytes may be gone that the process believes written: an fsync that failed."""
    return error.operation == "fsync"


class Flushing:
    """The recovery point of one log."""

    __slots__ = (
        "_env",
        "_flushed_ms",
        "_loaded",
        "_segments",
        "error",
        "is_closed",
        "flushed_offset",
        "recovery_point",
        "truncation_count",
    )

    recovery_point: int
    """recovery_point <= flushed_offset."""
    flushed_offset: int
    """flushed_offset <= log_end_offset."""
    error: StorageError | None
    """Why a flush in the background failed. Where it was the fsync itself, neither offset moves from then on."""
    is_closed: bool
    """The log is deleted or ending: what is still being flushed has nobody to tell, and no names to fail on."""
    truncation_count: int
    """What was begun at another count is of other batches."""

    def __init__(self, env: LogEnvironment, loaded: LoadedLog) -> None:
        self._env = env
        self._segments = loaded.segments
        self._loaded = loaded
        self.truncation_count = 0
        self._flushed_ms = env.clock.monotonic_ms()
        self.recovery_point = min(loaded.recovery_point, loaded.log_end_offset)
        self.flushed_offset = self.recovery_point
        self.error = None
        self.is_closed = False

    def is_due(self, flush_ms: int) -> bool:
        """Whether `flush_ms` have passed since the last flush."""
        return self._env.clock.monotonic_ms() - self._flushed_ms >= flush_ms

    def on_truncate(self, offset: int) -> None:
        """The log ends at `offset` from here on: what is being flushed above it is of other batches."""
        self.truncation_count += 1
        self.recovery_point = min(self.recovery_point, offset)
        self.flushed_offset = min(self.flushed_offset, offset)

    @property
    def is_lost(self) -> bool:
        """Whether an fsync has failed: nothing can be promised any more."""
        return self.error is not None and is_lost(self.error)

    def flush(self, directory: Path, log_end_offset: int) -> None:
        """Wait until everything below `log_end_offset`, the end, is on the device. Blocks.

        Raises StorageError, and the same one ever after when it was an fsync that failed.
        """
        if self.error is not None and self.is_lost:
            raise self.error
        disk = self._env.disk
        try:
            for segment in self._segments.from_offset(self.recovery_point):
                segment.flush()
            for path in self._small_files(directory):
                sync_path(disk, path)
            for each in self._unsynced_directories(directory):
                disk.sync_directory(each)
        except StorageError as error:
            self.error = error
            raise
        self._note(log_end_offset)

    def flush_sealed(self, directory: Path, upto: int) -> None:
        """Sync the sealed segments below `upto` in the background.

        Their files are opened here, because by then they may bear another name.
        """
        disk = self._env.disk
        sealed = [s for s in self._segments.from_offset(self.recovery_point) if s.base_offset < upto]
        paths = [path for segment in sealed for path in segment.paths()]
        directories = self._unsynced_directories(directory)
        truncation_count = self.truncation_count
        try:
            files = [disk.open(path) for path in (*paths, *self._small_files(directory)) if disk.stat(path) is not None]
        except StorageError as error:
            self.error = error  # they are flushed with what comes after them
            return

        def work() -> None:
            for file in files:
                file.sync()
                file.close()
            for each in directories:
                disk.sync_directory(each)

        def done(result: object) -> None:
            if self.is_closed:
                return
            if isinstance(result, StorageError):
                self.error = result
                self._env.report(result)
            elif isinstance(result, Exception):
                raise result
            elif truncation_count == self.truncation_count and not self.is_lost:
                self._note(upto)

        self._env.background.submit(work, done)

    def _small_files(self, directory: Path) -> list[Path]:
        snapshots = self._loaded.snapshots
        newest = snapshots.path(snapshots.newest_offset)
        return [self._loaded.leader_epochs.path, directory / PARTITION_METADATA, newest]

    def _unsynced_directories(self, directory: Path) -> list[Path]:
        # The name of the log's own directory is synced once, with the first records.
        return [directory] if self.recovery_point > 0 else [directory, directory.parent]

    def _note(self, offset: int) -> None:
        self.recovery_point = max(self.recovery_point, offset)
        self.flushed_offset = max(self.flushed_offset, offset)
        self._flushed_ms = self._env.clock.monotonic_ms()
