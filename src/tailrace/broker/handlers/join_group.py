"""JoinGroup (key 11), v0-v9: come into a group, or come back; answered when the join phase ends.

Versions:  v4 dynamic members must come back with the id they are given (KIP-394); v5 static members (KIP-345);
    v7 protocol type in the answer, null protocol name; v8 reasons (KIP-800); v9 skip_assignment (KIP-814).
"""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.coordinator.groups.joining import Caller
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse


def handle(services: Services, context: RequestContext, request: JoinGroupRequest) -> Pending[JoinGroupResponse]:
    """Join, and park the answer."""
    # Kafka shows a member's address as Java prints one: a slash, then the address.
    caller = Caller(context.api_version, context.client_id or "", f"/{context.client_host}")
    answer = services.groups.join_group(request, caller)
    if context.api_version >= 7:
        return answer
    older: Pending[JoinGroupResponse] = Pending()

    def name_protocol(response: JoinGroupResponse) -> None:
        response.protocol_name = response.protocol_name or ""  # nullable from v7 on
        older.complete(response)

    answer.on_complete(name_protocol)
    return older
