"""ShareGroupHeartbeat (key 76), v1: join a share group, stay in it, leave it; the answer assigns (KIP-932).

Behaviour: the assignment is told when it changed, and to a member that says what it is subscribed to. The topic that
    keeps share groups' state is made by the first heartbeat.
"""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share_topic import with_state_topic
from tailrace.coordinator.groups.joining import Caller
from tailrace.wire.messages.share_group_heartbeat import ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse


def handle(
    services: Services, context: RequestContext, request: ShareGroupHeartbeatRequest
) -> Pending[ShareGroupHeartbeatResponse]:
    """Count the member as alive and give it what it may consume."""
    caller = Caller(context.api_version, context.client_id or "", f"/{context.client_host}")
    return with_state_topic(services, lambda: services.groups.share.heartbeat(request, caller))
