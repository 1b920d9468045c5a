"""What is asked of a share partition and what it answers: plain values."""

from __future__ import annotations

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple


class AcknowledgeType(IntEnum):
    """What a member says of a record it acquired. Source: KIP-932, KIP-1222 for `RENEW`."""

    GAP = 0
    """There is no record at the offset: compacted away, or a transaction's marker."""
    ACCEPT = 1
    RELEASE = 2
    REJECT = 3
    RENEW = 4


class Acknowledgements(NamedTuple):
    """A member's word on offsets `first_offset` to `last_offset`: one type for all of them, or one for each."""

    first_offset: int
    last_offset: int
    types: Sequence[int]


class BatchSpan(NamedTuple):
    """A batch of the log as the share partition sees it. `is_aborted`: of a transaction that was, for a group that
    reads committed records. `position` and `size`: its bytes in the segment that was read."""

    base_offset: int
    last_offset: int
    is_aborted: bool = False
    position: int = 0
    size: int = 0


class AcquireWish(NamedTuple):
    """How much a member wants.

    `max_records` > 0 may be exceeded to the end of the batch it falls into, unless `is_strict` (KIP-1206).
    `batch_size`: acquired ranges end at the first batch that makes them so large.
    """

    max_records: int
    batch_size: int
    is_strict: bool = False


class Acquired(NamedTuple):
    """A range that the member holds from here on, delivered for the `delivery_count`-th time."""

    first_offset: int
    last_offset: int
    delivery_count: int


class ShareSettings(NamedTuple):
    """What a share group obeys, its own settings or the broker's."""

    record_lock_duration_ms: int = 30_000
    delivery_count_limit: int = 5
    partition_max_record_locks: int = 2000
    isolation_level: int = 0
    renew_acknowledge_enable: bool = True
