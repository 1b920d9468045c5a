"""LeaveGroup (key 13), v0-v5: members go, and the rest share what they had.

Versions:  v0-v2 one member, its error at the top; v3 several, by member id or by instance id alone (KIP-345);
    v5 reasons (KIP-800).
"""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.leave_group import LeaveGroupRequest, LeaveGroupResponse, MemberIdentity


def handle(services: Services, context: RequestContext, request: LeaveGroupRequest) -> Pending[LeaveGroupResponse]:
    """Take members out of their group."""
    if context.api_version >= 3:
        return services.groups.leave_group(request.group_id, request.members)
    older: Pending[LeaveGroupResponse] = Pending()

    def lift_error(response: LeaveGroupResponse) -> None:
        code = response.error_code or next((member.error_code for member in response.members), 0)
        older.complete(LeaveGroupResponse(error_code=code))

    services.groups.leave_group(request.group_id, [MemberIdentity(request.member_id)]).on_complete(lift_error)
    return older
