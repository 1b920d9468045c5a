"""What one cleaning is to do, as plain values: taken from the log in the loop's thread, read in the cleaner's."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from tailrace.base.types import TopicPartition
from tailrace.log.txn_index import AbortedTxn


class Source(NamedTuple):
    """A sealed segment to read."""

    base_offset: int
    size: int
    path: Path
    index_path: Path
    time_index_path: Path
    txn_index_path: Path


class LastRecord(NamedTuple):
    """What the log knows last of a producer; `last_data_offset` -1 where that is a marker."""

    last_data_offset: int
    producer_epoch: int


class CleaningLimits(NamedTuple):
    """The cleaner's share of memory and disk; the settings `log.cleaner.*` divided by the number of threads."""

    dedupe_buffer_bytes: int
    load_factor: float
    read_bytes: int
    bytes_per_second: float


class CleaningPlan(NamedTuple):
    """One cleaning. first_dirty_offset < first_uncleanable_offset, which is a segment's base offset or the log's."""

    topic_partition: TopicPartition
    directory: Path
    first_dirty_offset: int
    first_uncleanable_offset: int
    sources: tuple[Source, ...]
    """Every segment below `first_uncleanable_offset`, oldest first."""
    later_txn_indexes: tuple[Path, ...]
    """Of the sealed segments above: transactions that began below may have been aborted there."""
    active_aborted: tuple[AbortedTxn, ...]
    last_records: Mapping[int, LastRecord]
    """By producer id."""
    now_ms: int
    delete_retention_ms: int
    segment_bytes: int
    segment_index_bytes: int
    index_interval_bytes: int
    limits: CleaningLimits
