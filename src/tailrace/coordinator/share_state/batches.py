"""State batches, put together: what is known of the offsets of a share partition, and what a write adds.

    known    [0-9 delivered once]
    written        [5-7 acknowledged, delivered once]
    together [0-4 once] [5-7 acknowledged] [8-9 once]

Of two that speak of one offset the greater wins, by delivery count and then by state: deliveries are only ever counted
up, so that is the later one, in whatever order they come. Pure. Source: Kafka's `PersisterStateBatchCombiner`;
neighbours that are alike are always one here, which Kafka leaves apart in a few cases.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Sequence
from operator import attrgetter
from typing import Final

from tailrace.coordinator.share_state.ports import StateBatch

_FIRST: Final = attrgetter("first_offset")
_LAST: Final = attrgetter("last_offset")


def combined(batches: Iterable[StateBatch], start_offset: int) -> tuple[StateBatch, ...]:
    """`batches`, in any order, as rising ones that do not overlap; nothing below `start_offset` where it is >= 0."""
    kept = [_from(batch, start_offset) for batch in batches if batch.last_offset >= start_offset]
    kept.sort()
    result: list[StateBatch] = []
    for batch in kept:
        if not result or result[-1].last_offset < batch.first_offset:
            _add(result, batch)
        else:
            _lay_over(result, batch)
    return tuple(result)


def merged(known: tuple[StateBatch, ...], new: Sequence[StateBatch], start_offset: int) -> tuple[StateBatch, ...]:
    """`combined` of both, where `known` came from it: what is far from the new ones is not looked at."""
    left = _cut(known, start_offset)
    if not new:
        return left
    lowest, highest = min(map(_FIRST, new)), max(map(_LAST, new))
    low = bisect_left(left, lowest - 1, key=_LAST)
    high = max(low, bisect_right(left, highest + 1, key=_FIRST))
    return left[:low] + combined((*left[low:high], *new), start_offset) + left[high:]


def _cut(known: tuple[StateBatch, ...], start_offset: int) -> tuple[StateBatch, ...]:
    """What is left without what is below `start_offset`."""
    first = bisect_left(known, start_offset, key=_LAST)
    if first == len(known) or known[first].first_offset >= start_offset:
        return known[first:]
    return (_from(known[first], start_offset), *known[first + 1 :])


def _from(batch: StateBatch, offset: int) -> StateBatch:
    return batch if batch.first_offset >= offset else batch._replace(first_offset=offset)


def _add(result: list[StateBatch], batch: StateBatch) -> None:
    """Put a batch behind the others, as one with the last where they are alike."""
    if result:
        last = result[-1]
        if last.last_offset + 1 == batch.first_offset and last[2:] == batch[2:]:
            result[-1] = last._replace(last_offset=batch.last_offset)
            return
    result.append(batch)


def _lay_over(result: list[StateBatch], batch: StateBatch) -> None:
    """Add a batch that begins within what is there."""
    under = []
    while result and result[-1].last_offset >= batch.first_offset:
        under.append(result.pop())
    position = batch.first_offset
    for piece in reversed(under):
        if piece.first_offset < position:
            _add(result, piece._replace(last_offset=position - 1))
        elif position < piece.first_offset and position <= batch.last_offset:
            until = min(batch.last_offset, piece.first_offset - 1)
            _add(result, batch._replace(first_offset=position, last_offset=until))
        first, last = max(piece.first_offset, position), min(piece.last_offset, batch.last_offset)
        if first <= last:
            winner = max(piece, batch, key=_rank)
            _add(result, winner._replace(first_offset=first, last_offset=last))
        if piece.last_offset > batch.last_offset:
            _add(result, _from(piece, batch.last_offset + 1))
        position = piece.last_offset + 1
    if position <= batch.last_offset:
        _add(result, _from(batch, position))


def _rank(batch: StateBatch) -> tuple[int, int]:
    return batch.delivery_count, batch.delivery_state
