"""What the controller decides when somebody wants a partition on other brokers, or in another order on the same ones.

Pure: nothing changes until the records are committed and replayed. A refusal is a KafkaError with Kafka's code.
The order of the replicas is changed at once; the leader stays until somebody asks for an election. Replicas are not
moved from broker to broker: nothing copies them, so such a wish is refused and none is ever in progress.
Source: KIP-455, KIP-860, Kafka ReplicationControlManager.alterPartitionReassignments.
"""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.placement import check_assignment
from tailrace.cluster.records import PartitionRecord, Record


def decide_reassignment(
    image: MetadataImage, topic: str, index: int, replicas: Sequence[int] | None, *, may_change_factor: bool
) -> list[Record]:
    """Place one partition on `replicas`, preferred leader first; None cancels what is in progress.

    Raises KafkaError: UNKNOWN_TOPIC_OR_PARTITION, NO_REASSIGNMENT_IN_PROGRESS, INVALID_REPLICA_ASSIGNMENT,
    INVALID_REPLICATION_FACTOR, or UNSUPPORTED_VERSION for a move between brokers.
    """
    found = image.topic(topic)
    if found is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find a topic named {topic}.")
    partition = image.partition(topic, index)
    if partition is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find partition {topic}:{index}.")
    if replicas is None:
        raise KafkaError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
    check_assignment(replicas, list(image.brokers))
    if not may_change_factor and len(replicas) != len(partition.replicas):
        message = f"The replication factor would change from {len(partition.replicas)} to {len(replicas)}."
        raise KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, message)
    wanted = tuple(replicas)
    if wanted == partition.replicas:
        return []
    if set(wanted) != set(partition.replicas):
        raise KafkaError(ErrorCode.UNSUPPORTED_VERSION, "Replicas cannot be moved from one broker to another.")
    moved = partition._replace(replicas=wanted, partition_epoch=partition.partition_epoch + 1)
    return [PartitionRecord(found.topic_id, index, *moved)]
