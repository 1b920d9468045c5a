"""Where the replicas of partitions go. Pure.

Leaders are dealt round robin over the brokers from a start that moves with the topic's name, so that many topics of one
partition do not all lead on the same broker; followers are the next brokers in the ring.
"""

from __future__ import annotations

from collections.abc import Sequence
from zlib import crc32

from tailrace.base.errors import ErrorCode, KafkaError


def place_replicas(
    topic: str, first_partition: int, count: int, replication_factor: int, brokers: Sequence[int]
) -> list[tuple[int, ...]]:
    """Replicas of partitions first_partition.. of `topic`, the preferred leader first.

    Raises KafkaError(INVALID_REPLICATION_FACTOR) when there are too few brokers.
    """
    if replication_factor > len(brokers):
        message = (
            f"Unable to replicate the partition {replication_factor} time(s): The target replication factor of "
            f"{replication_factor} cannot be reached because only {len(brokers)} broker(s) are registered or some "
            "brokers have all their log directories cordoned."
        )
        raise KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, message)
    start = crc32(topic.encode()) + first_partition
    ring = sorted(brokers)
    size = len(ring)
    return [tuple(ring[(start + index + step) % size] for step in range(replication_factor)) for index in range(count)]


def check_assignment(replicas: Sequence[int], brokers: Sequence[int]) -> None:
    """Raise KafkaError(INVALID_REPLICA_ASSIGNMENT) unless `replicas` are distinct registered brokers, at least one."""
    code = ErrorCode.INVALID_REPLICA_ASSIGNMENT
    if not replicas:
        raise KafkaError(code, "The manual partition assignment includes an empty replica list.")
    seen: set[int] = set()
    for broker in sorted(replicas):
        if broker in seen:
            raise KafkaError(code, f"The manual partition assignment includes the broker {broker} more than once.")
        seen.add(broker)
        if broker not in brokers:
            raise KafkaError(
                code, f"The manual partition assignment includes broker {broker}, but no such broker is registered."
            )
