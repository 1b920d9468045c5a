"""ShareGroupDescribe (key 77), v1: epochs, members and assignments of share groups (KIP-932)."""

from __future__ import annotations

from tailrace.broker.authorized_operations import tell_group_operations
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.share_group_describe import ShareGroupDescribeRequest, ShareGroupDescribeResponse


def handle(
    services: Services, context: RequestContext, request: ShareGroupDescribeRequest
) -> ShareGroupDescribeResponse:
    """Describe each group asked for."""
    groups = [services.groups.share.describe(group_id) for group_id in request.group_ids]
    if request.include_authorized_operations:
        tell_group_operations(groups)
    return ShareGroupDescribeResponse(groups=groups)
