"""The machine's disk with a question before each operation: the base of disks that fail on order.

Syncs are asked for and not done: the tests kill processes, not power, and a sync costs what a hundred other steps do.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

from tailrace.base.disk import Buffer, File, FileStat, RealDisk


class CheckedDisk(ABC):
    """Passes every operation on that `check` lets pass."""

    def __init__(self) -> None:
        self._disk = RealDisk()

    @abstractmethod
    def check(self, operation: str, path: Path) -> None:
        """Raise StorageError where the operation is to fail."""

    def check_read(self, operation: str, path: Path) -> None:
        """As `check`, of an operation that changes nothing."""
        self.check(operation, path)

    def open(self, path: Path) -> File:
        self.check("open", path)
        return CheckedFile(self, path, self._disk.open(path))

    def open_existing(self, path: Path) -> File:
        return self._disk.open_existing(path)

    def set_modified(self, path: Path, modified_ms: int) -> None:
        self.check("utime", path)
        self._disk.set_modified(path, modified_ms)

    def read(self, path: Path) -> bytes:
        self.check_read("read", path)
        return self._disk.read(path)

    def stat(self, path: Path) -> FileStat | None:
        self.check_read("stat", path)
        return self._disk.stat(path)

    def rename(self, source: Path, target: Path) -> None:
        self.check("rename", source)
        self._disk.rename(source, target)

    def remove(self, path: Path) -> None:
        self.check("remove", path)
        self._disk.remove(path)

    def list(self, path: Path) -> list[str]:
        self.check_read("list", path)
        return self._disk.list(path)

    def make_directory(self, path: Path) -> None:
        self.check("mkdir", path)
        self._disk.make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self.check("fsync", path)

    def lock(self, path: Path) -> File | None:
        return self._disk.lock(path)

    def can_sync_volumes(self) -> bool:
        return True

    def sync_volume(self, path: Path, file: File) -> None:
        self.check("fsync", path)


class CheckedFile:
    """A real file that asks its disk first."""

    def __init__(self, disk: CheckedDisk, path: Path, file: File) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, data: Buffer) -> int:
        self._disk.check("write", self._path)
        return self._file.write(data)

    def pread(self, size: int, position: int) -> bytes:
        self._disk.check_read("read", self._path)
        return self._file.pread(size, position)

    def size(self) -> int:
        return self._file.size()

    def truncate(self, size: int) -> None:
        self._disk.check("truncate", self._path)
        self._file.truncate(size)

    def sync(self) -> None:
        self._disk.check("fsync", self._path)

    def close(self) -> None:
        self._file.close()
