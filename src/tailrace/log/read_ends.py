"""Where the latest reads of a log's end stopped: who reads on from there, a follower or a consumer that keeps up, is
found without a search.

Invariant: an entry says that the batch with this offset, once it is written, begins at this position of this segment,
if that is still the active one. Not its business: reading. Source: Kafka has none; it searches its mapped index.
"""

from __future__ import annotations

from typing import Final

from tailrace.log.segment import Segment

READ_ENDS_MAX: Final = 4
"""Entries a log keeps: its followers and a consumer or two. At it: the oldest goes, and its reader costs a search."""


class ReadEnds:
    """Offsets and where they begin, the oldest first."""

    __slots__ = ("_positions", "_segment")

    def __init__(self) -> None:
        self._segment: Segment | None = None
        self._positions: dict[int, int] = {}

    def note(self, segment: Segment, offset: int) -> None:
        """A read stopped at the end of the active segment, which is the log's: `offset` is next."""
        if segment is not self._segment:
            self._segment = segment
            self._positions = {}
        positions = self._positions
        if len(positions) >= READ_ENDS_MAX:
            del positions[next(iter(positions))]
        positions[offset] = segment.size

    def find(self, active: Segment, offset: int) -> int | None:
        """The position of the batch at `offset` in the active segment, if it is known."""
        return self._positions.get(offset) if active is self._segment else None
