"""Files that are deleted in two steps: renamed to `.deleted` at once, unlinked when `file.delete.delay.ms` has passed.

Invariant: a file named `.deleted` belongs to no log; what a crash leaves of them is removed at the next start.
Source: Kafka LocalLog.deleteSegmentFiles.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from contextlib import suppress
from functools import partial
from pathlib import Path

from tailrace.base.disk import Disk
from tailrace.base.errors import StorageError
from tailrace.log.config import LogEnvironment
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

    __slots__ = ("_disk", "_env", "_waiting")

    def __init__(self, env: LogEnvironment) -> None:
        self._env = env
        self._disk = env.disk
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

    def forget(self, is_meant: Callable[[Path], bool]) -> None:
        """Leave those where they are for which `is_meant` says so."""
        self._waiting = deque(waiting for waiting in self._waiting if not is_meant(waiting[1]))

    def hasten(self, is_meant: Callable[[Path], bool] = lambda path: True) -> None:
        """Make those due for which `is_meant` says so. Who still reads one has it open, and keeps it."""
        self._waiting = deque(sorted((0.0 if is_meant(path) else due_ms, path) for due_ms, path in self._waiting))

    def remove_due(self, now_ms: float) -> None:
        """Unlink those whose time has come, in the background: a large file takes its time. What fails waits on."""
        due: list[tuple[float, Path]] = []
        while self._waiting and self._waiting[0][0] <= now_ms:
            due.append(self._waiting.popleft())
        if not due:
            return

        def done(result: object) -> None:
            if isinstance(result, StorageError):
                self._waiting.extendleft(reversed(due))
                self._env.report(result)
            elif isinstance(result, Exception):
                raise result

        self._env.background.submit(partial(_remove, self._disk, [path for _, path in due]), done)


def _remove(disk: Disk, paths: list[Path]) -> None:
    for path in paths:
        remove_tree(disk, path)


def remove_tree(disk: Disk, path: Path) -> None:
    """Remove a file, or a directory with the files in it; nothing where it is missing. Raises StorageError."""
    found = disk.stat(path)
    if found is not None and found.is_directory:
        for name in disk.list(path):
            disk.remove(path / name)
    disk.remove(path)
