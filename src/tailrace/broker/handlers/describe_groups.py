"""DescribeGroups (key 15), v0-v6: state, members and assignments of groups.

Versions:  v3 authorized operations (KIP-430); v4 instance ids; v6 an unknown group is GROUP_ID_NOT_FOUND with a message
    (KIP-1043), before that a Dead group without error.
"""

from __future__ import annotations

from tailrace.broker.authorized_operations import tell_group_operations
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_groups import DescribeGroupsRequest, DescribeGroupsResponse


def handle(services: Services, context: RequestContext, request: DescribeGroupsRequest) -> DescribeGroupsResponse:
    """Describe each group asked for."""
    groups = [services.groups.describe_group(group_id, context.api_version) for group_id in request.groups]
    if request.include_authorized_operations:
        tell_group_operations(groups)
    return DescribeGroupsResponse(groups=groups)
