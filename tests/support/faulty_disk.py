"""A disk whose n-th changing operation fails, once or from then on: what `tailrace.base.disk.Disk` exists for.

Counted: open (it may create), write, sync, truncate, rename, remove, set_modified, make_directory, sync_directory.
A failing write first writes half of what it was given, as a full disk does.
"""

from __future__ import annotations

import errno
from pathlib import Path

from tests.support.checked_disk import CheckedDisk, CheckedFile

from tailrace.base.disk import Buffer, File
from tailrace.base.errors import StorageError


class FaultyDisk(CheckedDisk):
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
        super().__init__()
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


class FaultyFile(CheckedFile):
    """A write that fails has written half, and one that is to be short writes half."""

    _disk: FaultyDisk

    def write(self, data: Buffer) -> int:
        try:
            self._disk.check("write", self._path)
        except StorageError:
            self._file.write(memoryview(data)[: len(data) // 2])
            raise
        return self._file.write(memoryview(data)[: (len(data) + 1) // 2] if self._disk.takes_half() else data)
