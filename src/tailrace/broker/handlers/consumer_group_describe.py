"""ConsumerGroupDescribe (key 69), v0-v1: epochs, members and assignments of consumer groups (KIP-848).

Versions:  v1 tells members of the classic protocol from the others (KIP-1099).
"""

from __future__ import annotations

from typing import Final

from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.consumer_group_describe import ConsumerGroupDescribeRequest, ConsumerGroupDescribeResponse

_ALL_OPERATIONS: Final = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
"""Bits of Kafka's `AclOperation` that apply to a group: read, delete, describe, describe and alter its configs."""


def handle(
    services: Services, context: RequestContext, request: ConsumerGroupDescribeRequest
) -> ConsumerGroupDescribeResponse:
    """Describe each group asked for."""
    groups = [services.groups.describe_consumer_group(group_id) for group_id in request.group_ids]
    if request.include_authorized_operations:
        for group in groups:
            if not group.error_code:
                group.authorized_operations = _ALL_OPERATIONS
    return ConsumerGroupDescribeResponse(groups=groups)
