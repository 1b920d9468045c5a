"""ElectLeaders (key 43), v0-v2: let another replica lead, or hear why not.

Behaviour: every partition is answered for; null topics are all of them, and then those that need no election are left
    out, their topic stays. A partition whose log directory is offline has nobody to elect. One refused partition does
    not stop the others. `timeout_ms` is not used.
Versions: v0 preferred leaders alone; v1 unclean elections (KIP-460) and a code for the whole answer.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.asked_elections import ElectionType, decide_election
from tailrace.wire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
    TopicPartitions,
)


def handle(services: Services, context: RequestContext, request: ElectLeadersRequest) -> ElectLeadersResponse:
    """Elect what was asked for. Raises INVALID_REQUEST for an unknown type of election."""
    try:
        kind = ElectionType(request.election_type)
    except ValueError:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown election type {request.election_type}") from None
    if request.topic_partitions is None:
        image = services.metadata.image
        asked = [TopicPartitions(name, [*range(len(topic.partitions))]) for name, topic in image.topics.items()]
    else:
        asked = request.topic_partitions
    answers = []
    for topic in asked:
        results = [_elect(services, topic.topic, index, kind) for index in topic.partitions]
        if request.topic_partitions is None:
            results = [result for result in results if result.error_code != ErrorCode.ELECTION_NOT_NEEDED]
        answers.append(ReplicaElectionResult(topic.topic, results))
    return ElectLeadersResponse(replica_election_results=answers)


def _elect(services: Services, topic: str, index: int, kind: ElectionType) -> PartitionResult:
    metadata = services.metadata
    try:
        metadata.commit(decide_election(metadata.image, topic, index, kind, services.able_to_lead(topic, index)))
    except KafkaError as error:
        return PartitionResult(index, error.code, error.message)
    return PartitionResult(index, ErrorCode.NONE, None)
