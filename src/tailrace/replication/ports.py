"""What replication needs of the world: a clock, who is active, and how a leader has its partition changed.

Source: Kafka AlterPartitionManager, MetadataCache.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode
from tailrace.base.types import TopicPartition
from tailrace.cluster.alter_partition import AlterPartition
from tailrace.replication.throttle import Throttle

Told = Callable[[ErrorCode | None], object]


class PartitionChanges(Protocol):
    """The way to `cluster.alter_partition`, wherever it is decided."""

    def alter_partition(self, asked: AlterPartition, told: Told) -> None:
        """Have `asked` decided and made durable; then `told(None)`, or `told(code)` with why not. Perhaps at once.

        What changed is told by the metadata, before or after that. A code may hide that it did happen.
        """
        ...


@dataclass(frozen=True, slots=True)
class ReplicationEnvironment:
    """The outside of a replicated partition."""

    node_id: int
    clock: Clock
    changes: PartitionChanges
    broker_epoch_of: Callable[[int], int | None]
    """The epoch of a broker that may be in sync: registered, not fenced, not shutting down; else None."""
    min_insync_replicas_of: Callable[[str], int]
    """`min.insync.replicas` of a topic."""
    lag_max_ms: Callable[[], int]
    """`replica.lag.time.max.ms`."""
    leader_throttle_of: Callable[[TopicPartition], Throttle | None] = lambda _: None
    """What holds back followers that are out of sync, where the topic's settings name this leader's replica."""
