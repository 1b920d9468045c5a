"""The file below an index: fixed-size entries, appended, kept back in memory until flushed.

Invariant: file bytes followed by pending bytes are the index. A lost tail is harmless: the recovery point is only
moved after `flush`, and recovery rebuilds from there. The descriptor is held only while writing, so that 10,000 idle
partitions hold none.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tailrace.base.disk import Disk, File, write_fully
from tailrace.base.errors import StorageError

PENDING_MAX_BYTES: Final = 8192
"""Index bytes kept in memory before they are written: a write(2) costs as much as a thousand entries' packing."""
_ZEROS: Final = bytes(65_536)


def used_entries(data: bytes, entry_size: int) -> int:
    """How many entries stand before a tail that is torn or zero. One is kept, for it may be of zeros itself.

    A Kafka that was killed leaves 10 MB of zeros in each index: they are passed over at the speed of memory.
    """
    whole = len(data) - len(data) % entry_size
    end = whole
    while end >= len(_ZEROS) and data.endswith(_ZEROS, 0, end):
        end -= len(_ZEROS)
    begin = max(0, end - len(_ZEROS))
    used = begin + len(data[begin:end].rstrip(b"\0"))
    return max(-(-used // entry_size), min(1, whole // entry_size))


class IndexFile:
    """Entries of `entry_size` bytes at `path`."""

    __slots__ = ("_disk", "_entry_size", "_keep_bytes", "_pending", "path")

    def __init__(self, disk: Disk, path: Path, entry_size: int) -> None:
        self._disk = disk
        self.path = path
        self._entry_size = entry_size
        self._pending = bytearray()
        self._keep_bytes: int | None = None
        """Where set, what the file has beyond was cut, but the disk refused; the next write cuts it first."""

    def read(self) -> bytes:
        """Everything: what is in the file, then what waits. Missing file: nothing."""
        try:
            data = self._disk.read(self.path)
        except StorageError as error:
            if not isinstance(error.cause, FileNotFoundError):
                raise
            data = b""
        data = data if self._keep_bytes is None else data[: self._keep_bytes]
        return data + self._pending if self._pending else data

    def is_whole(self) -> bool:
        """Whether the file is there and holds whole entries."""
        found = self._disk.stat(self.path)
        return found is not None and found.size % self._entry_size == 0

    def size(self) -> int:
        """Bytes in the file, -1 where there is none."""
        found = self._disk.stat(self.path)
        return found.size if found is not None else -1

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait in memory."""
        return len(self._pending)

    def append(self, entry: bytes) -> None:
        """Add one entry, in memory; written when enough have gathered."""
        self._pending += entry
        if len(self._pending) >= PENDING_MAX_BYTES:
            try:
                self.write_pending()
            except StorageError:
                pass  # The entries still wait; `flush` tries again and does raise.

    def drop_pending(self) -> None:
        """Forget what waits: nobody may write the file any more, or its next reader writes it again."""
        self._pending.clear()

    def write_pending(self) -> None:
        """Write what waits, creating the file. On StorageError everything still waits and the file is as it was."""
        file = self._disk.open(self.path)
        try:
            self._write(file)
        finally:
            file.close()

    def flush(self) -> None:
        """Write what waits and sync."""
        file = self._disk.open(self.path)
        try:
            self._write(file)
            file.sync()
        finally:
            file.close()

    def _write(self, file: File) -> None:
        on_disk = file.size()
        size = on_disk - on_disk % self._entry_size
        if self._keep_bytes is not None:
            size = min(size, self._keep_bytes)
        if size < on_disk:
            file.truncate(size)
        self._keep_bytes = None
        if not self._pending:
            return
        try:
            write_fully(file, self._pending)
        except StorageError:
            self._keep_bytes = size
            raise
        self._pending.clear()

    def truncate(self, entry_count: int) -> None:
        """Keep the first `entry_count` entries."""
        size = entry_count * self._entry_size
        on_disk = max(self.size(), 0)
        if self._keep_bytes is not None:
            on_disk = min(on_disk, self._keep_bytes)
        if size >= on_disk:
            del self._pending[size - on_disk :]
            return
        self._pending.clear()
        self._keep_bytes = size
        file = self._disk.open(self.path)
        try:
            self._write(file)
        finally:
            file.close()
