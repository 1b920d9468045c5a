"""How much of the indexes is in memory: bounded in bytes, the longest loaded go first.

An index is read whole when it is first asked for, 2 MB for a full segment of 1 GiB, and stays: a lookup in it costs a
microsecond. Beyond `max_size` bytes the one that was read or sealed longest ago is forgotten, and read again when
asked. Those of active segments are not counted: an append may not fail for having to read; `segment.index.bytes`
bounds each.

Invariant: what is counted is at most `max_size`, or one index. One owner: the logs of a broker, in their thread.
"""

from __future__ import annotations

from typing import Protocol

from tailrace.base.limits import LOADED_INDEXES_MAX_BYTES
from tailrace.log.bounded_holders import BoundedHolders


class Loaded(Protocol):
    """An index with its entries in memory that can do without them. Can be referred to weakly."""

    def release(self) -> None:
        """Forget the entries that can be read again."""
        ...


class LoadedIndexes(BoundedHolders[Loaded]):
    """Who holds entries, by rising time of loading."""

    __slots__ = ()

    def __init__(self, max_bytes: int = LOADED_INDEXES_MAX_BYTES) -> None:
        super().__init__(max_bytes, lambda index: index.release())
