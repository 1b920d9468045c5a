"""The flush that answers wait for: one fsync for all that was appended while the one before was running.

    append 1   append 2 3 4      append 5 ...
       |          |
       want       want (gathers)
       [ fsync: 1 ][ fsync: 2 3 4 ][ fsync: 5 ... ]

Invariant: at most one flush of a log is running; `flushed_offset` moves when it has ended, to what was in the files
when it began. Only what a power failure must not take is synced: batches, and the names of files that are new. Indexes,
epochs and snapshots can be made again, so the recovery point stays where it is.
An fsync that failed is the last one: nobody is told that what it was asked for is safe, and no other is tried.
Not its business: who waits (replication), which appends ask (the log's settings). The syncs run in other threads, on
the very file objects that were written through: the kernel tells a failed write-back to who had the file open by then.
Source: PostgreSQL's commit_delay, InnoDB's group commit.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from tailrace.base.disk import Disk, File
from tailrace.base.errors import StorageError
from tailrace.log.config import LogEnvironment
from tailrace.log.flushing import Flushing
from tailrace.log.segments import Segments


class GroupCommit:
    """The owed flushes of one log."""

    __slots__ = (
        "_directory",
        "_env",
        "_flushing",
        "_is_running",
        "_named_offset",
        "_segments",
        "_wanted_offset",
        "on_flushed",
    )

    def __init__(self, env: LogEnvironment, directory: Path, segments: Segments, flushing: Flushing) -> None:
        self._env = env
        self._directory = directory
        self._segments = segments
        self._flushing = flushing
        self._wanted_offset = 0
        self._named_offset = -1
        """The names of the segments up to this base offset, and of the directory, are on the device."""
        self._is_running = False
        self.on_flushed: Callable[[StorageError | None], object] | None = None
        """Called each time an owed flush has ended: with None, or with why it failed."""

    @property
    def is_owed(self) -> bool:
        """Whether somebody waits for a flush that has not ended."""
        return self._wanted_offset > self._flushing.flushed_offset

    def want(self, upto: int) -> None:
        """Have everything below `upto`, which is the log's end, flushed soon. The answer comes by `on_flushed`."""
        self._wanted_offset = upto
        if not self._is_running and not self._flushing.is_lost:
            self._is_running = True
            self._env.defer(self._begin)

    def retry(self) -> None:
        """Ask again for what is owed, after a failure that was not the fsync's own: no descriptor, say."""
        if self.is_owed:
            self.want(self._wanted_offset)

    @property
    def is_lost(self) -> bool:
        """Whether an fsync has failed: nothing that is owed will ever be flushed."""
        return self._flushing.is_lost

    def on_truncate(self, offset: int) -> None:
        """The log ends at `offset` from here on."""
        self._flushing.on_truncate(offset)
        self._wanted_offset = min(self._wanted_offset, offset)

    def _begin(self) -> None:
        flushing = self._flushing
        if flushing.is_closed or not self.is_owed:
            self._is_running = False
            return
        segments = [segment for segment in self._segments.from_offset(flushing.flushed_offset) if segment.size]
        newest = segments[-1].base_offset if segments else self._named_offset
        directories: list[Path] = []
        if newest > self._named_offset:
            directories = [self._directory] if self._named_offset >= 0 else [self._directory, self._directory.parent]
        begun = self._wanted_offset, flushing.truncation_count, self._env.clock.monotonic_ms()
        done = partial(self._end, begun, newest)
        try:
            files = [segment.file for segment in segments]
        except StorageError as error:
            done(error)
            return
        self._env.syncing.submit(partial(_sync, self._env.disk, files, directories), done)

    def _end(self, begun: tuple[int, int, float], newest: int, result: object) -> None:
        upto, truncation_count, begin_ms = begun
        self._env.flush_times.add_ms(self._env.clock.monotonic_ms() - begin_ms)
        self._is_running = False
        flushing = self._flushing
        if flushing.is_closed:
            return
        error = result if isinstance(result, StorageError) else None
        if error is not None:
            flushing.error = error
        elif isinstance(result, Exception):
            raise result
        elif truncation_count == flushing.truncation_count and not flushing.is_lost:
            flushing.flushed_offset = max(flushing.flushed_offset, upto)
            self._named_offset = newest
        if self.on_flushed is not None:
            self.on_flushed(error)
        if error is not None:
            self._env.report(error)
        if error is None and self.is_owed:
            self.want(self._wanted_offset)


def _sync(disk: Disk, files: Sequence[File], directories: Sequence[Path]) -> None:
    for file in files:
        file.sync()
    for directory in directories:
        disk.sync_directory(directory)
