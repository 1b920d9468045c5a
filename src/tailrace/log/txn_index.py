"""Transaction index of one segment: the aborted transactions whose ABORT marker lies in it.

On disk, 34 bytes an entry, big-endian, by rising marker offset:

    | version i16 = 0 | producer_id i64 | first_offset i64 | last_offset i64 | last_stable_offset i64 |

`last_stable_offset` is the log's when the marker was written: a search from offset o may stop at the first entry whose
last stable offset is above the end of what it fetched. Missing where nothing aborted. Same life as OffsetIndex.
Source: Kafka TransactionIndex, AbortedTxn.json.
"""

from __future__ import annotations

import itertools
import struct
from pathlib import Path
from typing import Final, NamedTuple

from tailrace.base.disk import Disk
from tailrace.log.index_file import IndexFile

ENTRY_SIZE: Final = 34
_ENTRY: Final = struct.Struct(">hqqqq")


class AbortedTxn(NamedTuple):
    """One aborted transaction of one producer in one partition. Offsets are inclusive; the last is the marker's."""

    producer_id: int
    first_offset: int
    last_offset: int
    last_stable_offset: int


class TxnIndex:
    """The entries of one segment's transaction index."""

    __slots__ = ("_disk", "_entries", "_file")

    def __init__(self, disk: Disk, path: Path) -> None:
        self._disk = disk
        self._file = IndexFile(disk, path, ENTRY_SIZE)
        self._entries: list[AbortedTxn] | None = None

    @property
    def path(self) -> Path:
        return self._file.path

    def _loaded(self) -> list[AbortedTxn]:
        if self._entries is None:
            self._entries = parse_entries(self._file.read())
        return self._entries

    def append(self, aborted: AbortedTxn) -> None:
        """Add an entry, in memory; written when the segment is sealed or flushed."""
        self._loaded().append(aborted)
        self._file.append(_ENTRY.pack(0, *aborted))

    def entries(self) -> list[AbortedTxn]:
        """Every entry."""
        return list(self._loaded())

    def overlapping(self, start_offset: int, end_offset: int) -> tuple[list[AbortedTxn], bool]:
        """Aborted transactions that touch [start_offset, end_offset), and whether no later segment can have more."""
        found: list[AbortedTxn] = []
        for aborted in self._loaded():
            if aborted.last_offset >= start_offset and aborted.first_offset < end_offset:
                found.append(aborted)
            if aborted.last_stable_offset >= end_offset:
                return found, True
        return found, False

    def is_sane(self, base_offset: int) -> bool:
        """Whether the file is missing, or holds whole entries of markers that rise from the segment's base."""
        if self._disk.stat(self.path) is None:
            return True
        if not self._file.is_whole():
            return False
        entries = self._loaded()
        return all(base_offset <= aborted.last_offset > aborted.first_offset >= 0 for aborted in entries) and all(
            a.last_offset < b.last_offset for a, b in itertools.pairwise(entries)
        )

    def truncate(self, offset: int) -> None:
        """Drop every entry whose marker is at or above `offset`."""
        entries = self._loaded()
        keep = sum(1 for aborted in entries if aborted.last_offset < offset)
        if keep < len(entries):
            del entries[keep:]
            self._file.truncate(keep)

    def reset(self) -> None:
        """Drop every entry and the file."""
        self._entries = []
        self._file.truncate(0)
        self._disk.remove(self.path)

    def load(self) -> None:
        """Read the file now rather than when it is first asked for. Raises StorageError."""
        self._loaded()

    @property
    def pending_bytes(self) -> int:
        """Bytes that wait in memory."""
        return self._file.pending_bytes

    def drop_pending(self) -> None:
        """Forget what waits in memory; to be unloaded after it."""
        self._file.drop_pending()

    def write_pending(self) -> None:
        """Write what waits in memory to the file; no file comes of nothing."""
        if self._file.pending_bytes:
            self._file.write_pending()

    def flush(self) -> None:
        """Write what waits and sync, where there is anything."""
        if self._file.pending_bytes or self._disk.stat(self.path) is not None:
            self._file.flush()


def parse_entries(data: bytes) -> list[AbortedTxn]:
    """The entries of a transaction index file's bytes; a torn tail is left out."""
    whole = data[: len(data) - len(data) % ENTRY_SIZE]
    return [AbortedTxn(*fields[1:]) for fields in _ENTRY.iter_unpack(whole)]
