"""AlterPartitionReassignments (key 45), v0-v1: other replicas for partitions, or an end to what is in progress.

Behaviour: every partition is answered for with its own code. Where the replicas are those it has, nothing happens and
    all is well; a move from broker to broker is refused (`cluster.reassignments`). `timeout_ms` is not used.
Versions: v1 says whether the number of replicas may change (KIP-860).
"""

from __future__ import annotations

from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.reassignments import decide_reassignment
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

    return respond_after(context, request, services.propose(partial(_decide, request)), respond)


def _decide(
    request: AlterPartitionReassignmentsRequest, image: MetadataImage
) -> Decided[list[ReassignableTopicResponse]]:
    may_change_factor = request.allow_replication_factor_change
    records: list[Record] = []
    responses = []
    for topic in request.topics:
        answers = []
        for wish in topic.partitions:
            index = wish.partition_index
            try:
                records += decide_reassignment(
                    image, topic.name, index, wish.replicas, may_change_factor=may_change_factor
                )
            except KafkaError as error:
                answers.append(ReassignablePartitionResponse(index, error.code, error.message))
            else:
                answers.append(ReassignablePartitionResponse(index, ErrorCode.NONE, None))
        responses.append(ReassignableTopicResponse(topic.name, answers))
    return Decided(responses, records)
