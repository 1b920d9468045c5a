"""A disk that takes its time when it is told to: in the broker's process the disk, in the test's the word.

The word is one number in a file that both have mapped: milliseconds that each write, read, flush, rename and
directory sync takes longer. Nothing fails and nothing is reordered; the broker's own code does not know.
"""

from __future__ import annotations

import mmap
import struct
import time
from pathlib import Path

from tailrace.base.disk import Buffer, File, RealDisk, RealFile

_DELAY = struct.Struct("<I")
DELAY_MS = 15


class Slowness:
    """The word, in the test's process. `path` is made."""

    def __init__(self, path: Path) -> None:
        path.write_bytes(_DELAY.pack(0))
        with path.open("r+b") as file:
            self._shared = mmap.mmap(file.fileno(), _DELAY.size)

    def slow_for(self, lasts_s: float) -> None:
        """Let every operation take longer, for a while."""
        _DELAY.pack_into(self._shared, 0, DELAY_MS)
        time.sleep(lasts_s)
        _DELAY.pack_into(self._shared, 0, 0)

    def close(self) -> None:
        self._shared.close()


class SlowDisk(RealDisk):
    """The machine's disk, as slow as the file at `path` says."""

    __slots__ = ("_shared",)

    def __init__(self, path: Path) -> None:
        with path.open("rb") as file:
            self._shared = mmap.mmap(file.fileno(), _DELAY.size, access=mmap.ACCESS_READ)

    def wait(self) -> None:
        (delay_ms,) = _DELAY.unpack_from(self._shared, 0)
        if delay_ms:
            time.sleep(delay_ms / 1000)

    def open(self, path: Path) -> File:
        return SlowFile(self, path)

    def rename(self, source: Path, target: Path) -> None:
        self.wait()
        super().rename(source, target)

    def remove(self, path: Path) -> None:
        self.wait()
        super().remove(path)

    def sync_directory(self, path: Path) -> None:
        self.wait()
        super().sync_directory(path)


class SlowFile(RealFile):
    """A file of it."""

    __slots__ = ("_disk",)

    def __init__(self, disk: SlowDisk, path: Path) -> None:
        self._disk = disk
        super().__init__(path)

    def write(self, data: Buffer) -> int:
        self._disk.wait()
        return super().write(data)

    def pread(self, size: int, position: int) -> bytes:
        self._disk.wait()
        return super().pread(size, position)

    def truncate(self, size: int) -> None:
        self._disk.wait()
        super().truncate(size)

    def sync(self) -> None:
        self._disk.wait()
        super().sync()
