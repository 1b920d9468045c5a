"""How much of the indexes is in memory: bounded in bytes, the longest loaded go first.

An index is read whole when it is first asked for, 2 MB for a full segment of 1 GiB, and stays: a lookup in it costs a
microsecond. Beyond `max_bytes` the one that was read or sealed longest ago is forgotten, and read again when asked. No
account is kept of uses, because a lookup must not pay for it.
Those of active segments are not counted: an append may not fail for having to read. `segment.index.bytes` bounds each.

Invariant: what is counted is at most `max_bytes`, or one index. Held weakly. One owner: the logs of a broker, in their
thread.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import Protocol
from weakref import ReferenceType, ref

from tailrace.base.limits import LOADED_INDEXES_MAX_BYTES


class Loaded(Protocol):
    """An index with its entries in memory that can do without them. Can be referred to weakly."""

    def release(self) -> None:
        """Forget the entries that can be read again. Must not come back to LoadedIndexes."""
        ...


class LoadedIndexes:
    """Who holds entries, by rising time of loading."""

    __slots__ = ("_sizes", "max_bytes", "size_bytes")

    size_bytes: int
    """Entries in memory that are counted."""

    def __init__(self, max_bytes: int = LOADED_INDEXES_MAX_BYTES) -> None:
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self._sizes: OrderedDict[ReferenceType[Loaded], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._sizes)

    def loaded(self, index: Loaded, size_bytes: int) -> None:
        """`index` holds so many bytes of entries from now on; where they are too many, others go."""
        self.forget(index)
        self._sizes[ref(index, self._gone)] = size_bytes
        self.size_bytes += size_bytes
        while self.size_bytes > self.max_bytes and len(self._sizes) > 1:
            reference, size = self._sizes.popitem(last=False)
            self.size_bytes -= size
            oldest = reference()
            if oldest is not None:
                oldest.release()

    def forget(self, index: Loaded) -> None:
        """`index` holds nothing more that counts; nothing where it held nothing."""
        self._gone(ref(index))

    def _gone(self, reference: ReferenceType[Loaded]) -> None:
        self.size_bytes -= self._sizes.pop(reference, 0)
