"""A disk that notes every operation and how many bytes were read: costs are counted, not timed."""

from __future__ import annotations

from pathlib import Path

from tailrace.base.disk import Buffer, File, FileStat, RealDisk, RealFile


class CountingDisk(RealDisk):
    """`operations` are "name path"; `reads` are (path, position, bytes) of each pread."""

    __slots__ = ("operations", "reads")

    def __init__(self) -> None:
        self.operations: list[str] = []
        self.reads: list[tuple[Path, int, int]] = []

    def open(self, path: Path) -> File:
        self.operations.append(f"open {path}")
        return CountingFile(self, path)

    def read(self, path: Path) -> bytes:
        self.operations.append(f"read {path}")
        return super().read(path)

    def stat(self, path: Path) -> FileStat | None:
        self.operations.append(f"stat {path}")
        return super().stat(path)

    def rename(self, source: Path, target: Path) -> None:
        self.operations.append(f"rename {source}")
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.operations.append(f"remove {path}")
        super().remove(path)

    def list(self, path: Path) -> list[str]:
        self.operations.append(f"list {path}")
        return super().list(path)

    def make_directory(self, path: Path) -> None:
        self.operations.append(f"mkdir {path}")
        super().make_directory(path)

    def sync_directory(self, path: Path) -> None:
        self.operations.append(f"fsync {path}")


class CountingFile(RealFile):
    """A real file that tells its disk."""

    __slots__ = ("_disk",)

    def __init__(self, disk: CountingDisk, path: Path) -> None:
        super().__init__(path)
        self._disk = disk

    def write(self, data: Buffer) -> int:
        self._disk.operations.append(f"write {self.path}")
        return super().write(data)

    def pread(self, size: int, position: int) -> bytes:
        self._disk.operations.append(f"pread {self.path}")
        data = super().pread(size, position)
        self._disk.reads.append((self.path, position, len(data)))
        return data

    def truncate(self, size: int) -> None:
        self._disk.operations.append(f"truncate {self.path}")
        super().truncate(size)

    def sync(self) -> None:
        self._disk.operations.append(f"fsync {self.path}")
