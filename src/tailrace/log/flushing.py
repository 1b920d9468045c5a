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

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final

from tailrace.base.disk import Disk, File, sync_path
from tailrace.base.errors import StorageError
from tailrace.log.config import LogEnvironment
from tailrace.log.filenames import PARTITION_METADATA
from tailrace.log.recovery import LoadedLog
from tailrace.log.segment import Segment

Done = Callable[[StorageError | None], object]
"""Told how a flush ended: None, or why it failed."""


def told_nobody(_: StorageError | None) -> None:
    """For a flush that nobody waits for; a failure has been reported."""


SNAPSHOT_INTERVAL_BYTES: Final = 32 * 1024 * 1024
"""Bytes of a segment after which a flush writes a producer snapshot: so much, at most, is read again for its producers
alone after a crash. Smaller would write a file with every flush, and gain tenths of a second."""


def is_lost(error: StorageError) -> bool:
    """Whether `error` means that bytes may be gone that the process believes written: an fsync that failed."""
    return error.operation == "fsync"


class AllDone:
    """Tells `done` once, when all of `count` have ended (at once where there are none): None, or the first failure."""

    __slots__ = ("_count", "_done", "_error")

    def __init__(self, count: int, done: Done) -> None:
        self._count = count
        self._done = done
        self._error: StorageError | None = None
        if count == 0:
            done(None)

    def one(self, error: StorageError | None) -> None:
        """One of them has ended."""
        self._error = self._error or error
        self._count -= 1
        if self._count == 0:
            self._done(self._error)


class Flushing:
    """The recovery point of one log."""

    __slots__ = (
        "_env",
        "_flushed_ms",
        "_is_running",
        "_loaded",
        "_segments",
        "_snapshot_at",
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
        self._is_running = False
        self._snapshot_at = (-1, 0)
        """Base offset of a segment and its size when the producers were last noted within it."""

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
            self._note_producers(log_end_offset)
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

    def begin(self, directory: Path, log_end_offset: int, done: Done) -> None:
        """Begin to flush everything below `log_end_offset`, the end, in the background; then `done(None or why not)`.

        While such a flush is running another call answers at once, with None.
        """
        if self._is_running:
            done(None)
            return
        segments = self._segments.from_offset(self.recovery_point)
        try:
            self._note_producers(log_end_offset)
            segments[-1].write_pending()
        except StorageError as error:
            done(error)
            return

        def ended(error: StorageError | None) -> None:
            self._is_running = False
            done(error)

        self._is_running = True
        self._submit(directory, segments, log_end_offset, ended)

    def on_volume_synced(self, log_end_offset: int) -> None:
        """All files are on the device, up to `log_end_offset`, the end. Nothing where an fsync has failed before."""
        if not self.is_lost:
            self._note(log_end_offset)

    def _note_producers(self, log_end_offset: int) -> None:
        """Write a producer snapshot where the last one lies far back: a recovery from here reads from there on."""
        active = self._segments.active
        base_offset, size = self._snapshot_at
        size = size if base_offset == active.base_offset else 0
        if active.size - size >= SNAPSHOT_INTERVAL_BYTES:
            self._loaded.snapshots.write_within(self._loaded.producer_states.entries(), log_end_offset)
            self._snapshot_at = active.base_offset, active.size

    def begin_sealed(self, directory: Path, upto: int) -> None:
        """Begin to flush the sealed segments below `upto`, in the background."""
        sealed = [s for s in self._segments.from_offset(self.recovery_point) if s.base_offset < upto]
        self._submit(directory, sealed, upto, told_nobody)

    def _submit(self, directory: Path, segments: Sequence[Segment], upto: int, done: Done) -> None:
        """Sync the files of `segments` elsewhere. They are opened here: by then they may bear another name."""
        if self.is_lost:
            done(self.error)
            return
        disk = self._env.disk
        paths = [path for segment in segments for path in segment.paths()]
        truncation_count = self.truncation_count
        begin_ms = self._env.clock.monotonic_ms()
        try:
            files = [disk.open(path) for path in (*paths, *self._small_files(directory)) if disk.stat(path) is not None]
        except StorageError as error:
            self.error = error  # they are flushed with what comes after them
            done(error)
            return

        def end(result: object) -> None:
            self._env.flush_times.add_ms(self._env.clock.monotonic_ms() - begin_ms)
            error = result if isinstance(result, StorageError) else None
            if self.is_closed:
                pass
            elif error is not None:
                self.error = error
                self._env.report(error)
            elif isinstance(result, Exception):
                raise result
            elif truncation_count == self.truncation_count and not self.is_lost:
                self._note(upto)
            done(error)

        self._env.background.submit(partial(_sync, disk, files, self._unsynced_directories(directory)), end)

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


def _sync(disk: Disk, files: Sequence[File], directories: Sequence[Path]) -> None:
    for file in files:
        file.sync()
        file.close()
    for directory in directories:
        disk.sync_directory(directory)
