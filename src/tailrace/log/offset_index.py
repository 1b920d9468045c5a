"""Offset index of one segment: offset -> byte position in the .log file.

On disk, 8 bytes an entry, big-endian, rising in both columns:

    | relative_offset i32 | position i32 |

Invariant: an entry is a batch's last offset and the position of its first byte, so scanning for a later offset may
start there; sparse, one entry per `index_interval_bytes`. Appended plainly, never preallocated; entries wait in memory
until `flush`, because an index that lags the log is mended by recovery. No checksum: after an unclean stop recovery
writes it again. Sealed segments load it when first asked. Not its business: batches, time. One owner: its Segment.
Source: Kafka OffsetIndex.
"""

from __future__ import annotations

import itertools
import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from pathlib import Path
from typing import Final

from tailrace.base.disk import Disk
from tailrace.log.index_file import IndexFile
from tailrace.log.loaded_indexes import LoadedIndexes

ENTRY_SIZE: Final = 8
_ENTRY: Final = struct.Struct(">ii")


class OffsetIndex:
    """The entries of one segment's offset index."""

    __slots__ = ("__weakref__", "_bound", "_file", "_is_pinned", "_positions", "_relative", "base_offset")

    def __init__(self, disk: Disk, path: Path, base_offset: int, bound: LoadedIndexes | None = None) -> None:
        """`bound` bounds how much of all indexes is in memory; None: nobody counts this one."""
        self._bound = bound
        self._is_pinned = False
        self._file = IndexFile(disk, path, ENTRY_SIZE)
        self.base_offset = base_offset
        self._relative: array[int] | None = None
        self._positions: array[int] = array("i")

    @property
    def path(self) -> Path:
        return self._file.path

    @path.setter
    def path(self, path: Path) -> None:
        self._file.path = path

    def __len__(self) -> int:
        return len(self._loaded())

    def _loaded(self) -> array[int]:
        relative = self._relative
        if relative is None:
            relative, self._positions = parse_entries(self._file.read())
            self._relative = relative
            self._count()
        return relative

    def append(self, offset: int, position: int) -> None:
        """Add an entry; both columns must rise."""
        relative = self._loaded()
        assert not relative or offset - self.base_offset > relative[-1], "index offsets must rise"
        relative.append(offset - self.base_offset)
        self._positions.append(position)
        self._file.append(_ENTRY.pack(offset - self.base_offset, position))

    def lookup(self, offset: int) -> int:
        """Position to start scanning for `offset`: that of the greatest entry at or below it, 0 where there is none."""
        relative = self._loaded()
        at = bisect_right(relative, offset - self.base_offset)
        return self._positions[at - 1] if at else 0

    def position_at_or_below(self, position: int) -> int:
        """The greatest indexed position that is at most `position`, 0 where there is none."""
        self._loaded()
        at = bisect_right(self._positions, position)
        return self._positions[at - 1] if at else 0

    def last(self) -> tuple[int, int] | None:
        """(offset, position) of the last entry."""
        relative = self._loaded()
        return (self.base_offset + relative[-1], self._positions[-1]) if relative else None

    def last_below(self, offset: int) -> tuple[int, int] | None:
        """(offset, position) of the greatest entry below `offset`."""
        relative = self._loaded()
        at = bisect_left(relative, offset - self.base_offset)
        return (self.base_offset + relative[at - 1], self._positions[at - 1]) if at else None

    def entries(self) -> list[tuple[int, int]]:
        """Every (offset, position)."""
        return [(self.base_offset + r, p) for r, p in zip(self._loaded(), self._positions, strict=True)]

    def is_sane(self, log_size: int) -> bool:
        """Whether the file could belong to a log of `log_size` bytes: whole entries that rise and lie inside."""
        if not self._file.is_whole():
            return False
        relative = self._loaded()
        positions = self._positions
        if not relative:
            return True
        return (
            relative[0] >= 0
            and positions[0] >= 0
            and positions[-1] < log_size
            and all(a < b for a, b in itertools.pairwise(relative))
            and all(a < b for a, b in itertools.pairwise(positions))
        )

    def file_size(self) -> int:
        """Bytes on disk, -1 where there is no file."""
        return self._file.size()

    def truncate(self, offset: int) -> None:
        """Drop every entry at or above `offset`."""
        relative = self._loaded()
        keep = bisect_left(relative, offset - self.base_offset)
        del relative[keep:]
        del self._positions[keep:]
        self._file.truncate(keep)

    def reset(self) -> None:
        """Drop every entry without reading them: they are about to be written again."""
        self._relative = array("i")
        self._positions = array("i")
        self._file.truncate(0)

    def load(self) -> None:
        """Read the file now rather than when it is first asked for, and keep it until `settle`. Raises StorageError."""
        self._is_pinned = True
        self._loaded()
        if self._bound is not None:
            self._bound.forget(self)

    def settle(self) -> None:
        """It is not appended to for now: its entries may be forgotten for want of room, and read again."""
        self._is_pinned = False
        self._count()

    def _count(self) -> None:
        entries = self._relative
        if self._bound is not None and entries is not None and not self._is_pinned:
            self._bound.loaded(self, len(entries) * ENTRY_SIZE)

    def release(self) -> None:
        """Forget the entries, for want of room: they are in the file, or wait to be."""
        self._relative = None
        self._positions = array("i")

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait in memory."""
        return self._file.pending_bytes

    def drop_pending(self) -> None:
        """Forget what waits in memory; to be unloaded after it."""
        self._file.drop_pending()

    def write_pending(self) -> None:
        """Write what waits in memory to the file."""
        self._file.write_pending()

    def flush(self) -> None:
        """Write what waits and sync."""
        self._file.flush()

    def unload(self) -> None:
        """Write what waits and forget the entries; they load again when asked."""
        if self._file.pending_bytes:
            self._file.write_pending()
        self._is_pinned = False
        if self._bound is not None:
            self._bound.forget(self)
        self.release()


def parse_entries(data: bytes) -> tuple[array[int], array[int]]:
    """(relative offsets, positions) of a file's bytes; a torn or zero tail (Kafka's preallocation) is left out."""
    columns = array("i")
    columns.frombytes(data[: len(data) - len(data) % ENTRY_SIZE])
    if sys.byteorder == "little":
        columns.byteswap()
    relative, positions = columns[0::2], columns[1::2]
    while len(relative) > 1 and relative[-1] == 0 and positions[-1] == 0:
        relative.pop()
        positions.pop()
    if len(relative) == 1 and len(data) > ENTRY_SIZE and relative[0] == 0 and positions[0] == 0:
        relative.pop()
        positions.pop()
    return relative, positions
