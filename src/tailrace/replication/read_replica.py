"""Which replica a consumer should read from: one in its own rack, where one is in sync and has what it asks for.

The leader is chosen where it is in that rack itself, and where nobody is; among several the one that has most.
Source: KIP-392, Kafka RackAwareReplicaSelector, ReplicaManager.findPreferredReadReplica.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from tailrace.replication.partition import Partition

THE_LEADER: Final = -1


def closest_replica(
    partition: Partition, offset: int, rack: str, node_id: int, rack_of: Callable[[int], str | None]
) -> int:
    """The broker to read `offset` from, for a consumer in `rack`; THE_LEADER, who is `node_id`, or another."""
    role = partition.followers
    if role is None or rack_of(node_id) == rack:
        return THE_LEADER
    near = (
        replica
        for broker_id, replica in role.replicas.items()
        if broker_id in role.isr
        and replica.log_start_offset <= offset <= replica.log_end_offset
        and rack_of(broker_id) == rack
    )
    best = max(near, key=lambda replica: (replica.log_end_offset, replica.caught_up_ms), default=None)
    return THE_LEADER if best is None else best.broker_id
