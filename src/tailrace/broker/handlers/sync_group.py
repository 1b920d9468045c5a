"""SyncGroup (key 14), v0-v5: the leader hands in assignments, everybody gets theirs.

Versions:  v3 static members (KIP-345); v5 names the protocol, which then has to be the group's (KIP-559).
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


def handle(
    services: Services, context: RequestContext, request: SyncGroupRequest
) -> SyncGroupResponse | Pending[SyncGroupResponse]:
    """Sync, and park the answer until the leader's assignment is committed."""
    if context.api_version >= 5 and (request.protocol_type is None or request.protocol_name is None):
        return SyncGroupResponse(error_code=ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    return services.groups.sync_group(request)
