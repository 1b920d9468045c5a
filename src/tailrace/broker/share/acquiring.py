"""Which records a member gets: pure decisions over runs and the batches that were read.

Order: first what is available again, by rising offset, then what was never delivered. A limit on records is met at the
end of a batch where the member lets it (`AcquireWish`), so that clients acknowledge whole batches.
A record that was delivered often is suspected of making its consumer fail: it comes in ever smaller company, half of
what it was first delivered with, then a quarter, at last alone, so that the others outlive it.
Source: Kafka SharePartition.acquire, KIP-932, KIP-1206.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tailrace.broker.share.limits import THROTTLE_DELIVERIES_MIN
from tailrace.broker.share.requests import AcquireWish, BatchSpan, ShareSettings
from tailrace.broker.share.runs import RecordState, Run, Runs


class Taken(NamedTuple):
    """Runs that were available and are acquired, how many records may still be had, and whether others may follow."""

    runs: list[Run]
    left: int
    may_go_on: bool


def again(runs: Runs, settings: ShareSettings, wish: AcquireWish, batches: Sequence[BatchSpan]) -> Taken:
    """Acquire what is in flight and available within `batches`."""
    first, last = batches[0].base_offset, batches[-1].last_offset
    throttled_from = throttle_limit(settings.delivery_count_limit)
    taken: list[Run] = []
    left = wish.max_records
    for run in runs.overlapping(first, last):
        if left <= 0:
            if wish.is_strict:
                break
            # What else is available of the batch that the limit fell into.
            last = min(last, _batch_end(taken[-1].last_offset, batches))
            if run.first_offset > last:
                break
        if not run.is_available:
            continue
        begin, end = max(run.first_offset, first), min(run.last_offset, last)
        is_throttled = run.delivery_count >= throttled_from
        if is_throttled:
            if taken:
                return Taken(taken, 0, False)
            count = _throttled_count(run, settings.delivery_count_limit)
            end = min(end, begin + (min(count, left) if wish.is_strict else count) - 1)
        elif end - begin + 1 > left > 0:
            end = _limited_end(begin, end, left, wish, batches)
        part = runs.cut(run, begin, end)
        part.state = RecordState.ACQUIRED
        part.delivery_count += 1
        taken.append(part)
        left -= part.size
        if is_throttled:
            return Taken(taken, 0, False)
    return Taken(taken, left, left > 0)


def throttle_limit(delivery_count_limit: int) -> int:
    """Deliveries after which a record is suspected: half of those it may have."""
    return max(THROTTLE_DELIVERIES_MIN, (delivery_count_limit + 1) // 2)


def _throttled_count(run: Run, delivery_count_limit: int) -> int:
    if delivery_count_limit > THROTTLE_DELIVERIES_MIN and run.delivery_count >= delivery_count_limit - 1:
        return 1
    return max(1, run.acquired_size >> (run.delivery_count - throttle_limit(delivery_count_limit) + 1))


def _limited_end(begin: int, end: int, count: int, wish: AcquireWish, batches: Sequence[BatchSpan]) -> int:
    """The last offset of `count` records from `begin` on, or of the batch it falls into; `end` at most."""
    limit = begin + count - 1
    return min(limit if wish.is_strict else _batch_end(limit, batches), end)


def _batch_end(offset: int, batches: Sequence[BatchSpan]) -> int:
    """The last offset of the batch that holds `offset`; `offset` itself where there is none."""
    for batch in batches:
        if batch.base_offset <= offset <= batch.last_offset:
            return batch.last_offset
    return offset


def anew(end_offset: int, wish: AcquireWish, count: int, batches: Sequence[BatchSpan]) -> list[Run]:
    """New runs from `end_offset` on for about `count` records that were never delivered; none where that is 0.

    What lies between the end and the first batch does not exist and is archived, as are aborted batches: nobody gets
    those.
    """
    if count <= 0:
        return []
    first = max(end_offset, batches[0].base_offset)
    last = batches[-1].last_offset
    if last - first + 1 > count:
        last = _limited_end(first, last, count, wish, batches)
    made: list[Run] = []
    if first > end_offset:
        made.append(Run(end_offset, first - 1, RecordState.ARCHIVED, 0))
    begin = first
    for batch in batches:
        if batch.last_offset < first:
            continue
        if batch.base_offset > last:
            break
        is_boundary = not wish.is_strict and batch.base_offset - begin >= wish.batch_size
        if (batch.is_aborted or is_boundary) and batch.base_offset > begin:
            made.append(Run(begin, batch.base_offset - 1, RecordState.ACQUIRED, 1))
            begin = batch.base_offset
        if batch.is_aborted:
            end = min(batch.last_offset, last)
            made.append(Run(begin, end, RecordState.ARCHIVED, 0))
            begin = end + 1
    if begin <= last:
        made.append(Run(begin, last, RecordState.ACQUIRED, 1))
    return made
