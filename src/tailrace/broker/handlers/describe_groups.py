"""DescribeGroups (key 15), v0-v6: state, members and assignments of groups.

Versions:  v3 authorized operations (KIP-430); v4 instance ids; v6 an unknown group is GROUP_ID_NOT_FOUND with a message
    (KIP-1043), before that a Dead group without error.
"""

from __future__ import annotations

from typing import Final

from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_groups import DescribeGroupsRequest, DescribeGroupsResponse

_ALL_OPERATIONS: Final = 1 << 3 | 1 << 6 | 1 << 8 | 1 << 10 | 1 << 11
"""Bits of Kafka's `AclOperation` that apply to a group: read, delete, describe, describe and alter its configs."""


def handle(services: Services, context: RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    """Describe each group asked for."""
    groups = [services.groups.describe_group(group_id, context.api_version) for group_id in request.groups]
    if request.include_authorized_operations:
        for group in groups:
            if not group.error_code:
                group.authorized_operations = _ALL_OPERATIONS
    return DescribeGroupsResponse(groups=groups)
