"""Leader epochs of one log: at which offset each leader's term began.

Invariant: epochs and start offsets both rise; a batch of epoch e lies at or above e's start and below the next one's.
Written to `leader-epoch-checkpoint` with the epoch's first batch, because an epoch without batches tells nothing, and
synced by the log's flush: what a power cut takes of it, recovery reads again in the batches above the recovery point,
and a file that does not parse in all of them.
Source: Kafka LeaderEpochFileCache, KIP-101, KIP-279.
"""

from __future__ import annotations

import itertools
from bisect import bisect_right
from pathlib import Path

from tailrace.base.disk import Disk
from tailrace.base.errors import StorageError
from tailrace.log.checkpoint import MalformedCheckpoint, read_epochs, write_epochs

UNDEFINED = (-1, -1)


class LeaderEpochs:
    """(epoch, start offset) by rising epoch."""

    __slots__ = ("_disk", "_entries", "path", "written_epoch")

    written_epoch: int
    """The latest epoch when the file was last read or written: a batch of another one has to be told of."""

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self.path = path
        self._entries: list[tuple[int, int]] = []
        self.written_epoch = -1

    def load(self) -> bool:
        """Read the file. False where it does not parse or does not rise: the batches then tell the epochs."""
        try:
            entries = read_epochs(self._disk, self.path)
        except MalformedCheckpoint:
            return False
        if any(a[0] >= b[0] or a[1] > b[1] for a, b in itertools.pairwise(entries)):
            return False
        self._entries = entries
        self.written_epoch = self.latest_epoch
        return True

    @property
    def latest_epoch(self) -> int:
        """The latest epoch, -1 where none is known."""
        return self._entries[-1][0] if self._entries else -1

    @property
    def entries(self) -> list[tuple[int, int]]:
        """Every (epoch, start offset)."""
        return list(self._entries)

    def assign(self, epoch: int, start_offset: int) -> None:
        """Note and write that `epoch` begins at `start_offset`; nothing where it is negative, or known and written.

        Raises StorageError.
        """
        before = self.entries
        if self.assign_in_memory(epoch, start_offset) or (epoch >= 0 and epoch != self.written_epoch):
            try:
                self.write()
            except StorageError:
                self._entries = before
                raise

    def assign_in_memory(self, epoch: int, start_offset: int) -> bool:
        """Like `assign`, without writing: for recovery, which writes once at its end, and for an epoch without batches.

        Whether anything changed.
        """
        entries = self._entries
        if epoch < 0 or (entries and entries[-1][0] == epoch and entries[-1][1] <= start_offset):
            return False
        while entries and (entries[-1][0] >= epoch or entries[-1][1] >= start_offset):
            entries.pop()
        entries.append((epoch, start_offset))
        return True

    def end_offset_for(self, epoch: int, log_end_offset: int) -> tuple[int, int]:
        """(epoch, end offset) of the greatest known epoch at or below `epoch`; UNDEFINED where nothing is known."""
        entries = self._entries
        if not entries or epoch < 0:
            return UNDEFINED
        if epoch == entries[-1][0]:
            return epoch, log_end_offset
        at = bisect_right(entries, epoch, key=lambda entry: entry[0])
        if at == len(entries):
            return UNDEFINED
        if at == 0:
            # Kafka answers the asked epoch with the start of the first one above it.
            return epoch, entries[0][1]
        return entries[at - 1][0], entries[at][1]

    def epoch_for(self, offset: int) -> int:
        """The epoch a record at `offset` was written in, -1 where unknown."""
        at = bisect_right(self._entries, offset, key=lambda entry: entry[1])
        return self._entries[at - 1][0] if at else -1

    def truncate_from_end(self, end_offset: int) -> None:
        """Drop the epochs that begin at or above `end_offset`. Raises StorageError."""
        if self.truncate_from_end_in_memory(end_offset):
            self.write()

    def truncate_from_end_in_memory(self, end_offset: int) -> bool:
        """Like `truncate_from_end`, without writing: for recovery. Whether anything changed."""
        before = len(self._entries)
        while self._entries and self._entries[-1][1] >= end_offset:
            self._entries.pop()
        return len(self._entries) != before

    def truncate_from_start(self, start_offset: int) -> None:
        """Drop the epochs that end at or below `start_offset`; the one it lies in begins there. Raises StorageError."""
        at = bisect_right(self._entries, start_offset, key=lambda entry: entry[1])
        if at == 0 or (at == 1 and self._entries[0][1] == start_offset):
            return
        self._entries[:at] = [(self._entries[at - 1][0], start_offset)]
        self.write()

    def clear(self) -> None:
        """Forget everything. Raises StorageError."""
        if self._entries:
            self._entries = []
            self.write()

    def write(self) -> None:
        """Replace the file. Raises StorageError."""
        write_epochs(self._disk, self.path, self._entries)
        self.written_epoch = self.latest_epoch
