"""ListPartitionReassignments (key 46), v0: the partitions that are on their way to other brokers.

Behaviour: none is, ever: `cluster.reassignments` refuses to begin one. Topics that do not exist are left out, as Kafka
    does.
"""

from __future__ import annotations

from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
)


def handle(
    services: Services, context: RequestContext, request: ListPartitionReassignmentsRequest
) -> ListPartitionReassignmentsResponse:
    """List nothing."""
    return ListPartitionReassignmentsResponse(error_message=None)
