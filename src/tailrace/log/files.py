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


def deleted_path(path: Path) -> Path:
    """The name under which the file at `path` waits for its removal."""
    return path.with_name(path.name + DELETED_SUFFIX)


def rename_all(disk: Disk, steps: Iterable[tuple[Path, Path]]) -> None:
    """Rename each source to its target, in order.

    Raises StorageError; they then have their names back, if the disk lets.
    """
    renamed: list[tuple[Path, Path]] = []
    try:
        for source, target in steps:
            disk.rename(source, target)
            renamed.append((source, target))
    except StorageError:
        for source, target in reversed(renamed):
            with suppress(StorageError):
                disk.rename(target, source)
        raise


class DoomedFiles:
    """Renamed files that wait for their removal, by due time."""

    __slots__ = ("_disk", "_waiting")

    def __init__(self, disk: Disk) -> None:
        self._disk = disk
        self._waiting: deque[tuple[float, Path]] = deque()

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, paths: Iterable[Path], due_ms: float) -> None:
        """Rename those that exist; they go when the monotonic clock shows `due_ms`.

        Raises StorageError; each then has its name back, because a segment half renamed would take appends that the
        next start deletes.
        """
        steps = [(path, deleted_path(path)) for path in paths if self._disk.stat(path) is not None]
        rename_all(self._disk, steps)
        self.note([target for _, target in steps], due_ms)

    def note(self, paths: Iterable[Path], due_ms: float) -> None:
        """Take over files that bear their `.deleted` names already."""
        self._waiting.extend((due_ms, path) for path in paths)

    def remove_due(self, now_ms: float) -> None:
        """Unlink those whose time has come. Raises StorageError; the rest waits for the next call."""
        while self._waiting and self._waiting[0][0] <= now_ms:
            self._disk.remove(self._waiting[0][1])
            self._waiting.popleft()
