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
from typing import Final

from tailrace.log.bounded_index import BoundedIndex
from tailrace.log.index_file import used_entries

ENTRY_SIZE: Final = 8
_ENTRY: Final = struct.Struct(">ii")


class OffsetIndex(BoundedIndex):
    """The entries of one segment's offset index."""

    __slots__ = ()

    _ENTRY_SIZE = ENTRY_SIZE
    _KEY_TYPE = "i"

    @staticmethod
    def _parse(data: bytes) -> tuple[array[int], array[int]]:
        return parse_entries(data)

    def append(self, offset: int, position: int) -> None:
        """Add an entry; both columns must rise."""
        relative = self._loaded()
        assert not relative or offset - self.base_offset > relative[-1], "index offsets must rise"
        relative.append(offset - self.base_offset)
        self._values.append(position)
        self._file.append(_ENTRY.pack(offset - self.base_offset, position))

    def lookup(self, offset: int) -> int:
        """Position to start scanning for `offset`: that of the greatest entry at or below it, 0 where there is none."""
        relative = self._loaded()
        at = bisect_right(relative, offset - self.base_offset)
        return self._values[at - 1] if at else 0

    def position_at_or_below(self, position: int) -> int:
        """The greatest indexed position that is at most `position`, 0 where there is none."""
        self._loaded()
        at = bisect_right(self._values, position)
        return self._values[at - 1] if at else 0

    def last(self) -> tuple[int, int] | None:
        """(offset, position) of the last entry."""
        relative = self._loaded()
        return (self.base_offset + relative[-1], self._values[-1]) if relative else None

    def last_below(self, offset: int) -> tuple[int, int] | None:
        """(offset, position) of the greatest entry below `offset`."""
        relative = self._loaded()
        at = bisect_left(relative, offset - self.base_offset)
        return (self.base_offset + relative[at - 1], self._values[at - 1]) if at else None

    def entries(self) -> list[tuple[int, int]]:
        """Every (offset, position)."""
        return [(self.base_offset + r, p) for r, p in zip(self._loaded(), self._values, strict=True)]

    def is_sane(self, log_size: int) -> bool:
        """Whether the file could belong to a log of `log_size` bytes: whole entries that rise and lie inside."""
        if not self._file.is_whole():
            return False
        relative = self._loaded()
        positions = self._values
        if not relative:
            return True
        return (
            relative[0] >= 0
            and positions[0] >= 0
            and positions[-1] < log_size
            and all(a < b for a, b in itertools.pairwise(relative))
            and all(a < b for a, b in itertools.pairwise(positions))
        )

    def truncate(self, offset: int) -> None:
        """Drop every entry at or above `offset`."""
        self._keep(bisect_left(self._loaded(), offset - self.base_offset))


def parse_entries(data: bytes) -> tuple[array[int], array[int]]:
    """(relative offsets, positions) of a file's bytes; a torn or zero tail (Kafka's preallocation) is left out."""
    columns = array("i")
    columns.frombytes(data[: used_entries(data, ENTRY_SIZE) * ENTRY_SIZE])
    if sys.byteorder == "little":
        columns.byteswap()
    relative, positions = columns[0::2], columns[1::2]
    if len(relative) == 1 and len(data) > ENTRY_SIZE and relative[0] == 0 and positions[0] == 0:
        relative.pop()
        positions.pop()
    return relative, positions
