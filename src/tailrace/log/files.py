"""Files that are deleted in two steps: renamed to `.deleted` at once, unlinked when `file.delete.delay.ms` has passed.

Invariant: a file named `.deleted` belongs to no log; what a crash leaves of them is removed at the next start.
Source: Kafka LocalLog.deleteSegmentFiles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path

from tailrace.base.disk import Disk
from tailrace.base.errors import StorageError
from tailrace.log.filenames import DELETED_SUFFIX


class DoomedFiles:
    """Renamed files that wait for their removal, by due time."""

    __slots__ = ("_disk", "_waiting")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._waiting: deque[tuple[float, Path]] = deque()

    def add(self, paths: Iterable[Path], due_ms: float) -> None:
        """Rename those that exist; they go when the monotonic clock shows `due_ms`.

        Raises StorageError; each then has its name back, because a segment half renamed would take appends that the
        next start deletes.
        """
        renamed: list[tuple[Path, Path]] = []
        try:
            for path in paths:
                if self._disk.stat(path) is not None:
                    target = path.with_name(path.name + DELETED_SUFFIX)
                    self._disk.rename(path, target)
                    renamed.append((path, target))
        except StorageError:
            for path, target in renamed:
                with suppress(StorageError):
                    self._disk.rename(target, path)
            raise
        self._waiting.extend((due_ms, target) for _, target in renamed)

    def remove_due(self, now_ms: float) -> None:
        """Unlink those whose time has come. Raises StorageError; the rest waits for the next call."""
        while self._waiting and self._waiting[0][0] <= now_ms:
            self._disk.remove(self._waiting[0][1])
            self._waiting.popleft()
