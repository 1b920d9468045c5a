"""What the offset and the time index share: two columns over a file, in memory while they are used.

Entries are read whole when first asked for, and forgotten for want of room (`loaded_indexes`) unless the index is
pinned, as that of a segment which is appended to is. Invariant: what is in memory is what the file holds, with what
waits to be written to it.
Not its business: what the columns mean, how they are searched.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from array import array
from pathlib import Path
from typing import ClassVar

from tailrace.base.disk import Disk
from tailrace.log.index_file import IndexFile
from tailrace.log.loaded_indexes import LoadedIndexes


class BoundedIndex(ABC):
    """Entries of one index file: rising `_keys`, and `_values` beside them."""

    __slots__ = ("__weakref__", "_bound", "_file", "_is_pinned", "_keys", "_values", "base_offset")

    _ENTRY_SIZE: ClassVar[int]
    _KEY_TYPE: ClassVar[str]
    """Type code of the keys; values are relative offsets or positions, int32."""

    def __init__(self, disk: Disk, path: Path, base_offset: int, bound: LoadedIndexes | None = None) -> None:
        """`bound` bounds how much of all indexes is in memory; None: nobody counts this one."""
        self._bound = bound
        self._is_pinned = False
        self._file = IndexFile(disk, path, self._ENTRY_SIZE)
        self.base_offset = base_offset
        self._keys: array[int] | None = None
        self._values: array[int] = array("i")

    @staticmethod
    @abstractmethod
    def _parse(data: bytes) -> tuple[array[int], array[int]]:
        """(keys, values) of a file's bytes."""

    @property
    def path(self) -> Path:
        return self._file.path

    def __len__(self) -> int:
        return len(self._loaded())

    def _loaded(self) -> array[int]:
        """The keys, read if they are not in memory; then the values are as well. Raises StorageError."""
        keys = self._keys
        if keys is None:
            keys, self._values = self._parse(self._file.read())
            self._keys = keys
            self._count()
        return keys

    def file_size(self) -> int:
        """Bytes on disk, -1 where there is no file."""
        return self._file.size()

    def _keep(self, count: int) -> None:
        """Drop every entry after the first `count`. They are loaded."""
        del self._loaded()[count:]
        del self._values[count:]
        self._file.truncate(count)

    def reset(self) -> None:
        """Drop every entry without reading them: they are about to be written again."""
        self._keys = array(self._KEY_TYPE)
        self._values = array("i")
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
        keys = self._keys
        if self._bound is not None and keys is not None and not self._is_pinned:
            self._bound.hold(self, len(keys) * self._ENTRY_SIZE)

    def release(self) -> None:
        """Forget the entries, for want of room: they are in the file, or wait to be."""
        self._keys = None
        self._values = array("i")

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
