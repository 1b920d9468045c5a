"""ElectLeaders (key 43), v0-v2: let another replica lead, or hear why not.

Behaviour: every partition is answered for; null topics are all of them, and then those that need no election are left
    out, their topic stays. A partition whose log directory is offline has nobody to elect. One refused partition does
    not stop the others. `timeout_ms` is not used.
Versions: v0 preferred leaders alone; v1 unclean elections (KIP-460) and a code for the whole answer.
"""

from __future__ import annotations

from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.asked_elections import ElectionType, decide_election
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import Record
from tailrace.wire.messages.elect_leaders import (
    ElectLeadersRequest,
    ElectLeadersResponse,
    PartitionResult,
    ReplicaElectionResult,
    TopicPartitions,
)


def handle(
    services: Services, context: RequestContext, request: ElectLeadersRequest
) -> ElectLeadersResponse | Pending[ElectLeadersResponse]:
    """Elect what was asked for. Raises INVALID_REQUEST for an unknown type of election."""
    try:
        kind = ElectionType(request.election_type)
    except ValueError:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown election type {request.election_type}") from None
    return respond_after(
        context,
        request,
        services.propose(partial(_decide, services, request.topic_partitions, kind)),
        lambda answers: ElectLeadersResponse(replica_election_results=answers),
    )


def _decide(
    services: Services, wished: list[TopicPartitions] | None, kind: ElectionType, image: MetadataImage
) -> Decided[list[ReplicaElectionResult]]:
    records: list[Record] = []
    answers = []
    every = (TopicPartitions(name, [*range(len(topic.partitions))]) for name, topic in image.topics.items())
    for topic in every if wished is None else wished:
        results = []
        for index in topic.partitions:
            code, message = ErrorCode.NONE, None
            try:
                able = services.able_to_lead(topic.topic, index)
                records += decide_election(image, topic.topic, index, kind, able)
            except KafkaError as error:
                code, message = error.code, error.message
            if wished is not None or code is not ErrorCode.ELECTION_NOT_NEEDED:
                results.append(PartitionResult(index, code, message))
        answers.append(ReplicaElectionResult(topic.topic, results))
    return Decided(answers, records)
