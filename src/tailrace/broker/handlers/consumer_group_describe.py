"""ConsumerGroupDescribe (key 69), v0-v1: epochs, members and assignments of consumer groups (KIP-848).

Versions:  v1 tells members of the classic protocol from the others (KIP-1099).
"""

from __future__ import annotations

from tailrace.broker.authorized_operations import tell_group_operations
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse


def handle(
    services: Services, context: RequestContext, request: ConsumerGroupDescribeRequest
) -> ConsumerGroupDescribeResponse:
    """Describe each group asked for."""
    groups = [services.groups.describe_consumer_group(group_id) for group_id in request.group_ids]
    if request.include_authorized_operations:
        tell_group_operations(groups)
    return ConsumerGroupDescribeResponse(groups=groups)
