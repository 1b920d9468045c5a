"""Time index of one segment: timestamp -> an offset to search from.

On disk, 12 bytes an entry, big-endian, timestamps strictly rising:

    | timestamp i64 | relative_offset i32 |

An entry says: `timestamp` is the largest up to and including that offset. Written where the offset index is, and once
more when the segment is sealed, so that the last entry is the segment's largest timestamp. Same life as OffsetIndex.
Source: Kafka TimeIndex.
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

ENTRY_SIZE: Final = 12
_ENTRY: Final = struct.Struct(">qi")


class TimeIndex:
    """The entries of one segment's time index."""

    __slots__ = ("__weakref__", "_bound", "_file", "_is_pinned", "_offsets", "_timestamps", "base_offset")

    def __init__(self, disk: Disk, path: Path, base_offset: int, bound: LoadedIndexes | None = None) -> None:
        """`bound` bounds how much of all indexes is in memory; None: nobody counts this one."""
        self._bound = bound
        self._is_pinned = False
        self._file = IndexFile(disk, path, ENTRY_SIZE)
        self.base_offset = base_offset
        self._timestamps: array[int] | None = None
        self._offsets: array[int] = array("i")

    @property
    def path(self) -> Path:
        return self._file.path

    @path.setter
    def path(self, path: Path) -> None:
        self._file.path = path

    def __len__(self) -> int:
        return len(self._loaded())

    def _loaded(self) -> array[int]:
        timestamps = self._timestamps
        if timestamps is None:
            timestamps, self._offsets = parse_entries(self._file.read())
            self._timestamps = timestamps
            self._count()
        return timestamps

    def maybe_append(self, timestamp: int, offset: int) -> None:
        """Add an entry if `timestamp` is above the last one and not negative (none); else there is nothing to say."""
        timestamps = self._loaded()
        if timestamp <= (timestamps[-1] if timestamps else -1):
            return
        timestamps.append(timestamp)
        self._offsets.append(offset - self.base_offset)
        self._file.append(_ENTRY.pack(timestamp, offset - self.base_offset))

    def lookup(self, timestamp: int) -> int:
        """Offset to start searching for a record of at least `timestamp`: every earlier record is older."""
        timestamps = self._loaded()
        at = bisect_right(timestamps, timestamp)
        # An entry below is safe: all up to it is older. An equal one is the batch that reached the timestamp first.
        return self.base_offset + self._offsets[at - 1] if at else self.base_offset

    def reached_at(self, timestamp: int) -> int | None:
        """Offset at which the first entry of at least `timestamp` says that it was reached; None where none does."""
        timestamps = self._loaded()
        at = bisect_left(timestamps, timestamp)
        return self.base_offset + self._offsets[at] if at < len(timestamps) else None

    def last(self) -> tuple[int, int] | None:
        """(timestamp, offset) of the last entry."""
        timestamps = self._loaded()
        return (timestamps[-1], self.base_offset + self._offsets[-1]) if timestamps else None

    def entries(self) -> list[tuple[int, int]]:
        """Every (timestamp, offset)."""
        return [(t, self.base_offset + r) for t, r in zip(self._loaded(), self._offsets, strict=True)]

    def is_sane(self) -> bool:
        """Whether the file is there and holds whole entries that rise."""
        if not self._file.is_whole():
            return False
        timestamps = self._loaded()
        return all(a < b for a, b in itertools.pairwise(timestamps)) and all(
            0 <= a <= b for a, b in zip(self._offsets, self._offsets[1:], strict=False)
        )

    def file_size(self) -> int:
        """Bytes on disk, -1 where there is no file."""
        return self._file.size()

    def truncate(self, offset: int) -> None:
        """Drop every entry at or above `offset`."""
        timestamps = self._loaded()
        keep = bisect_left(self._offsets, offset - self.base_offset)
        del timestamps[keep:]
        del self._offsets[keep:]
        self._file.truncate(keep)

    def reset(self) -> None:
        """Drop every entry without reading them: they are about to be written again."""
        self._timestamps = array("q")
        self._offsets = array("i")
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
        entries = self._timestamps
        if self._bound is not None and entries is not None and not self._is_pinned:
            self._bound.loaded(self, len(entries) * ENTRY_SIZE)

    def release(self) -> None:
        """Forget the entries, for want of room: they are in the file, or wait to be."""
        self._timestamps = None
        self._offsets = array("i")

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
    """(timestamps, relative offsets) of an index file's bytes; a torn or zero tail (Kafka's preallocation) is left out.

    Columns are gathered byte by byte of the entry, which for 100,000 entries takes a fifth of unpacking each.
    """
    count = len(data) // ENTRY_SIZE
    end = count * ENTRY_SIZE
    columns = bytearray(12 * count)
    for byte in range(8):
        columns[byte : 8 * count : 8] = data[byte:end:ENTRY_SIZE]
    for byte in range(4):
        columns[8 * count + byte :: 4] = data[8 + byte : end : ENTRY_SIZE]
    timestamps, offsets = array("q"), array("i")
    timestamps.frombytes(columns[: 8 * count])
    offsets.frombytes(columns[8 * count :])
    if sys.byteorder == "little":
        timestamps.byteswap()
        offsets.byteswap()
    used = count
    while used > 1 and timestamps[used - 1] == 0 and offsets[used - 1] == 0:
        used -= 1
    del timestamps[used:], offsets[used:]
    return timestamps, offsets
