"""ConsumerGroupHeartbeat (key 68), v0-v1: join a consumer group, stay in it, leave it; the answer assigns (KIP-848).

Behaviour: the assignment is told when it changed, and to a member that says everything about itself.
Versions:  v1 regular expressions, and member ids that members choose themselves (KIP-1082).
"""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.coordinator.groups.joining import Caller
from tailrace.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)


def handle(
    services: Services, context: RequestContext, request: ConsumerGroupHeartbeatRequest
) -> Pending[ConsumerGroupHeartbeatResponse]:
    """Count the member as alive and bring it a step nearer to its assignment."""
    caller = Caller(context.api_version, context.client_id or "", f"/{context.client_host}")
    return services.groups.consumer_group_heartbeat(request, caller)
