"""AlterPartitionReassignments (key 45), v0-v1: other replicas for partitions, or an end to what is in progress.

Behaviour: every partition is answered for with its own code. Where the replicas are those it has, nothing happens and
    all is well; a move from broker to broker is refused (`cluster.reassignments`). `timeout_ms` is not used.
Versions: v1 says whether the number of replicas may change (KIP-860).
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.reassignments import decide_reassignment
from tailrace.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartition,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)


def handle(
    services: Services, context: RequestContext, request: AlterPartitionReassignmentsRequest
) -> AlterPartitionReassignmentsResponse:
    """Reassign each partition of the request."""
    may_change_factor = request.allow_replication_factor_change
    responses = [
        ReassignableTopicResponse(
            topic.name, [_reassign(services, topic.name, each, may_change_factor) for each in topic.partitions]
        )
        for topic in request.topics
    ]
    return AlterPartitionReassignmentsResponse(
        allow_replication_factor_change=may_change_factor, error_message=None, responses=responses
    )


def _reassign(
    services: Services, topic: str, wish: ReassignablePartition, may_change_factor: bool
) -> ReassignablePartitionResponse:
    metadata = services.metadata
    index = wish.partition_index
    try:
        records = decide_reassignment(metadata.image, topic, index, wish.replicas, may_change_factor=may_change_factor)
        if records:
            metadata.commit(records)
    except KafkaError as error:
        return ReassignablePartitionResponse(index, error.code, error.message)
    return ReassignablePartitionResponse(index, ErrorCode.NONE, None)
