"""A disk that works until it is told that what lies below a path fails, and how; told again, it works once more.

Unlike `faulty_disk` it counts nothing: it stands for a device that goes away, a remount, a volume that fills up.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tests.support.checked_disk import CheckedDisk, CheckedFile

from tailrace.base.disk import File
from tailrace.base.errors import StorageError

CHANGES = frozenset({"open", "write", "fsync", "truncate", "rename", "remove", "mkdir"})
READS = frozenset({"read", "stat", "list"})
GROWS = frozenset({"write", "mkdir"})
"""What a full volume refuses."""


class BreakableDisk(CheckedDisk):
    """The machine's disk, with the errors that `fail` orders."""

    def __init__(self) -> None:
        super().__init__()
        self._orders: list[tuple[Path, int, frozenset[str]]] = []
        self.failed: list[str] = []
        self.touched: list[str] = []
        """Paths of every operation asked for since it was last cleared."""

    def fail(self, path: Path, number: int, operations: Collection[str] = CHANGES | READS) -> None:
        """From here on `operations` at and below `path` fail with errno `number`."""
        self._orders.append((path, number, frozenset(operations)))

    def heal(self) -> None:
        """Everything works again."""
        self._orders.clear()

    def check(self, operation: str, path: Path) -> None:
        self.touched.append(str(path))
        for root, number, operations in self._orders:
            if operation in operations and path.is_relative_to(root):
                self.failed.append(f"{operation} {path.name}")
                raise StorageError(operation, str(path), OSError(number, "injected"))

    def open(self, path: Path) -> File:
        self.check("open", path)
        return BreakableFile(self, path, self._disk.open(path))


class BreakableFile(CheckedFile):
    """Asks for its size too."""

    def size(self) -> int:
        self._disk.check("stat", self._path)
        return self._file.size()
