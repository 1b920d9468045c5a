"""AlterPartitionReassignments (key 45), v0-v1: other replicas for partitions, or an end to what is in progress.

Behaviour: every partition is answered for with its own code, when its move has begun; it ends when the new replicas
    are in sync (`cluster.reassignments`). Where the replicas are those it has, nothing happens and all is well.
    `timeout_ms` is not used.
Versions: v1 says whether the number of replicas may change (KIP-860).
"""

from __future__ import annotations

from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.elections import ElectionRules
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.reassignments import ReassignmentWish, decide_reassignment
from tailrace.cluster.records import Record
from tailrace.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    AlterPartitionReassignmentsResponse,
    ReassignablePartitionResponse,
    ReassignableTopicResponse,
)


def handle(
    services: Services, context: RequestContext, request: AlterPartitionReassignmentsRequest
) -> AlterPartitionReassignmentsResponse | Pending[AlterPartitionReassignmentsResponse]:
    """Reassign each partition of the request."""

    def respond(responses: list[ReassignableTopicResponse]) -> AlterPartitionReassignmentsResponse:
        return AlterPartitionReassignmentsResponse(
            allow_replication_factor_change=request.allow_replication_factor_change,
            error_message=None,
            responses=responses,
        )

    return respond_after(context, request, services.propose(partial(_decide, services, request)), respond)


def _decide(
    services: Services, request: AlterPartitionReassignmentsRequest, image: MetadataImage
) -> Decided[list[ReassignableTopicResponse]]:
    may_change_factor = request.allow_replication_factor_change
    metadata = services.metadata
    records: list[Record] = []
    responses = []
    for topic in request.topics:
        answers = []
        rules = ElectionRules() if image.topic(topic.name) is None else metadata.election_rules(topic.name)
        for asked in topic.partitions:
            index = asked.partition_index
            wish = ReassignmentWish(topic.name, index, asked.replicas, may_change_factor)
            try:
                records += decide_reassignment(image, wish, services.able_to_lead(topic.name, index), rules)
            except KafkaError as error:
                answers.append(ReassignablePartitionResponse(index, error.code, error.message))
            else:
                answers.append(ReassignablePartitionResponse(index, ErrorCode.NONE, None))
        responses.append(ReassignableTopicResponse(topic.name, answers))
    return Decided(responses, records)
