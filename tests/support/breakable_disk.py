"""A disk that works until it is told that what lies below a path fails, and how; told again, it works once more.

Unlike `faulty_disk` it counts nothing: it stands for a device that goes away, a remount, a volume that fills up.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

from tailrace.base.disk import Buffer, File, FileStat, RealDisk
from tailrace.base.errors import StorageError

CHANGES = frozenset({"open", "write", "fsync", "truncate", "rename", "remove", "mkdir"})
READS = frozenset({"read", "stat", "list"})
GROWS = frozenset({"write", "mkdir"})
"""What a full volume refuses."""


class BreakableDisk:
    """The machine's disk, with the errors that `fail` orders."""

    def __init__(self) -> None:
        self._disk = RealDisk()
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

    def read(self, path: Path) -> bytes:
        self.check("read", path)
        return self._disk.read(path)

    def stat(self, path: Path) -> FileStat | None:
        self.check("stat", path)
        return self._disk.stat(path)

    def rename(self, source: Path, target: Path) -> None:
        self.check("rename", source)
        self._disk.rename(source, target)

    def remove(self, path: Path) -> None:
        self.check("remove", path)
        self._disk.remove(path)

    def list(self, path: Path) -> list[str]:
        self.check("list", path)
        return self._disk.list(path)

    def make_directory(self, path: Path) -> None:
        self.check("mkdir", path)
        self._disk.make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self.check("fsync", path)

    def can_sync_volumes(self) -> bool:
        return True

    def sync_volume(self, path: Path, file: File) -> None:
        self.check("fsync", path)


class BreakableFile:
    """A real file that asks its disk first."""

    def __init__(self, disk: BreakableDisk, path: Path, file: File) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, data: Buffer) -> int:
        self._disk.check("write", self._path)
        return self._file.write(data)

    def pread(self, size: int, position: int) -> bytes:
        self._disk.check("read", self._path)
        return self._file.pread(size, position)

    def size(self) -> int:
        self._disk.check("stat", self._path)
        return self._file.size()

    def truncate(self, size: int) -> None:
        self._disk.check("truncate", self._path)
        self._file.truncate(size)

    def sync(self) -> None:
        self._disk.check("fsync", self._path)

    def close(self) -> None:
        self._file.close()
