"""A page cache that a test fills and empties: files named cold are not in memory until they were loaded."""

from __future__ import annotations

import os
import threading
from pathlib import Path

PAGE_BYTES = 4096


class ColdCache:
    """Implements `tailrace.base.page_cache.PageCache`. A load waits while the disk is held, and fails where told to."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._absent: dict[int, set[int]] = {}
        self._flows = threading.Event()
        self._flows.set()
        self.loads: list[tuple[int, int]] = []
        self.error: OSError | None = None
        self.forgets_at_once = False
        """Whether what was loaded is gone before anybody looks: a machine short of memory."""

    def evict(self, path: Path) -> None:
        """Nothing of the file is in memory any more."""
        stat = path.stat()
        with self._lock:
            self._absent[stat.st_ino] = set(range(stat.st_size // PAGE_BYTES + 1))

    def hold(self) -> None:
        """The disk does not answer until `release`."""
        self._flows.clear()

    def release(self) -> None:
        """The disk answers."""
        self._flows.set()

    def is_resident(self, fd: int, position: int, size: int) -> bool:
        with self._lock:
            absent = self._absent.get(os.fstat(fd).st_ino)
            return not absent or absent.isdisjoint(_pages(position, size))

    def pread(self, fd: int, size: int, position: int) -> bytes | None:
        return os.pread(fd, size, position) if self.is_resident(fd, position, size) else None

    def load(self, fd: int, position: int, size: int) -> None:
        self.loads.append((position, size))
        assert self._flows.wait(20), "the test never released the disk"
        if self.error is not None:
            raise self.error
        with self._lock:
            absent = self._absent.get(os.fstat(fd).st_ino)
            if absent is not None and not self.forgets_at_once:
                absent -= _pages(position, size)


def _pages(position: int, size: int) -> set[int]:
    return set(range(position // PAGE_BYTES, (position + max(size, 1) - 1) // PAGE_BYTES + 1))
