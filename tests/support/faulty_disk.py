"""A disk whose n-th changing operation fails, once or from then on: what `tailrace.base.disk.Disk` exists for.

Counted: open (it may create), write, sync, truncate, rename, remove, set_modified, make_directory, sync_directory.
A failing write first writes half of what it was given, as a full disk does.
"""

from __future__ import annotations

import errno
from pathlib import Path

from tailrace.base.disk import Buffer, File, FileStat, RealDisk
from tailrace.base.errors import StorageError


class FaultyDisk:
    """Fails operation number `fail_at` (1..; 0 never); with `dead` every one after it as well."""

    def __init__(
        self,
        fail_at: int = 0,
        *,
        dead: bool = False,
        error: int = errno.ENOSPC,
        also_reads: bool = False,
        is_short: bool = False,
    ) -> None:
        self._disk = RealDisk()
        self._fail_at = fail_at
        self._dead = dead
        self._error = error
        self._also_reads = also_reads
        self._is_short = is_short
        self.count = 0
        self.operations: list[str] = []
        self.failed: list[str] = []

    def check(self, operation: str, path: Path) -> None:
        self.count += 1
        self.operations.append(operation)
        if self.count == self._fail_at or (self._dead and self._fail_at and self.count > self._fail_at):
            self.failed.append(f"{operation} {path.name}")
            if self._is_short:
                return
            raise StorageError(operation, str(path), OSError(self._error, "injected"))

    def check_read(self, operation: str, path: Path) -> None:
        if self._also_reads:
            self.check(operation, path)

    def takes_half(self) -> bool:
        """Whether the operation just counted is the one that is short."""
        return self._is_short and self.count == self._fail_at

    def open(self, path: Path) -> File:
        self.check("open", path)
        return FaultyFile(self, path, self._disk.open(path))

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
        # Not passed on: the tests kill processes, not power, and a sync costs what a hundred other steps do.
        self.check("fsync", path)

    def can_sync_volumes(self) -> bool:
        return True

    def sync_volume(self, path: Path, file: File) -> None:
        self.check("fsync", path)


class FaultyFile:
    """A real file that asks its disk before each change."""

    def __init__(self, disk: FaultyDisk, path: Path, file: File) -> None:
        self._disk = disk
        self._path = path
        self._file = file

    def fileno(self) -> int:
        return self._file.fileno()

    def write(self, data: Buffer) -> int:
        try:
            self._disk.check("write", self._path)
        except StorageError:
            self._file.write(memoryview(data)[: len(data) // 2])
            raise
        return self._file.write(memoryview(data)[: (len(data) + 1) // 2] if self._disk.takes_half() else data)

    def pread(self, size: int, position: int) -> bytes:
        self._disk.check_read("pread", self._path)
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
