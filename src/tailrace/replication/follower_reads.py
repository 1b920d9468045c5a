"""How a leader serves a reader that says in which epoch it read last: a follower, or a careful consumer.

Source: Kafka Partition.fetchRecords, readRecords; KIP-595.
"""

from __future__ import annotations

from typing import NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.log.results import FetchSlice
from tailrace.replication.partition import Partition


class Follower(NamedTuple):
    """Who asks: a broker, and in which of its lives (-1: it does not say)."""

    broker_id: int
    broker_epoch: int


def diverging_epoch(partition: Partition, last_fetched_epoch: int, fetch_offset: int) -> tuple[int, int] | None:
    """(epoch, end offset) where the reader's history and this one part; None where it is a prefix of this one.

    Raises OFFSET_OUT_OF_RANGE for an epoch of which nothing is known. -1 means that the reader did not say.
    """
    if last_fetched_epoch < 0:
        return None
    epoch, end_offset = partition.log.end_offset_for_epoch(last_fetched_epoch)
    if epoch < 0:
        raise KafkaError(ErrorCode.OFFSET_OUT_OF_RANGE)
    return (epoch, end_offset) if epoch < last_fetched_epoch or end_offset < fetch_offset else None


def check_follower(partition: Partition, follower: Follower) -> None:
    """Raise NOT_LEADER_OR_FOLLOWER where the broker has no replica here, or was restarted since it asked."""
    if partition.followers is None:
        message = f"{partition.topic_partition} has no other replica, or this broker does not lead it."
        raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER, message)
    partition.followers.check_follower(*follower)


def read_for_follower(
    partition: Partition, follower: Follower, asked: tuple[int, int], max_bytes: int, *, min_one_batch: bool
) -> FetchSlice:
    """Batches for a checked follower whose history does not diverge, committed or not; notes what it has by now.

    `asked`: (fetch offset, the follower's log start). Raises OFFSET_OUT_OF_RANGE, StorageError.
    """
    fetch_offset, log_start_offset = asked
    assert partition.followers is not None
    if partition.followers.is_held_back(follower.broker_id):
        max_bytes, min_one_batch = 0, False
    found = partition.read_as_replica(fetch_offset, max_bytes, min_one_batch)
    partition.on_follower_fetch(follower, fetch_offset, log_start_offset)
    return found
