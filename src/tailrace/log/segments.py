"""The segments of one log, by rising base offset, and the searches across them.

Invariant: never empty once a log is open, unless the disk failed in the middle of dropping all; the last one is active,
the only one that is appended to. Base offsets rise; a segment's offsets end where the next one's base begins.
Source: Kafka LogSegments.
"""

from __future__ import annotations

import errno
from bisect import bisect_right
from collections.abc import Iterator

from tailrace.base.errors import StorageError
from tailrace.log.segment import BatchPosition, Segment
from tailrace.records.batch import RecordBatch


class Segments:
    """Ordered collection of segments."""

    __slots__ = ("_bases", "_items")

    def __init__(self) -> None:
        self._items: list[Segment] = []
        self._bases: list[int] = []

    def __len__(self) -> int:
        return len(self._items)

    def __iter__(self) -> Iterator[Segment]:
        return iter(list(self._items))

    def __getitem__(self, index: int) -> Segment:
        return self._items[index]

    @property
    def active(self) -> Segment:
        """The last one. Raises StorageError where the disk failed in the middle of dropping all of them."""
        if not self._items:
            why = OSError(errno.ENOENT, "its truncation failed half way and is to be repeated")
            raise StorageError("append to", "a log", why)
        return self._items[-1]

    @property
    def size_bytes(self) -> int:
        """Bytes of all .log files."""
        return sum(segment.size for segment in self._items)

    def add(self, segment: Segment) -> None:
        """Add the new active segment."""
        assert not self._items or segment.base_offset > self._items[-1].base_offset
        self._items.append(segment)
        self._bases.append(segment.base_offset)

    def remove(self, segment: Segment) -> None:
        """Forget a segment."""
        at = self._items.index(segment)
        del self._items[at]
        del self._bases[at]

    def replace(self, old: list[Segment], new: Segment) -> None:
        """Put `new` where the segments `old` are, which follow one another; it has the first one's base offset."""
        at = self._items.index(old[0])
        assert self._items[at : at + len(old)] == old, "replaced segments follow one another"
        assert new.base_offset == old[0].base_offset
        self._items[at : at + len(old)] = [new]
        self._bases[at : at + len(old)] = [new.base_offset]

    def floor_index(self, offset: int) -> int:
        """Index of the segment with the greatest base offset at or below `offset`, 0 where all are above."""
        at = bisect_right(self._bases, offset) - 1
        return max(at, 0)

    def from_offset(self, offset: int) -> list[Segment]:
        """The segment that holds `offset`, and those after it."""
        return self._items[self.floor_index(offset) :]

    def upper_bound(self, index: int, log_end_offset: int) -> int:
        """Offset after the last that the segment at `index` may hold."""
        return self._bases[index + 1] if index + 1 < len(self._bases) else log_end_offset

    def locate(self, offset: int) -> tuple[Segment, BatchPosition] | None:
        """The first batch that holds `offset` or lies after it; None where there is none."""
        for segment in self.from_offset(offset):
            found = segment.find(offset)
            if found is not None:
                return segment, found
        return None

    def batches_from(self, offset: int) -> Iterator[tuple[Segment, int, RecordBatch]]:
        """(segment, position, header) of each batch that ends at or after `offset`."""
        for segment in self.from_offset(offset):
            found = segment.find(offset)
            if found is not None:
                for position, batch in segment.headers(found.position):
                    yield segment, position, batch
