"""Heartbeat (key 12), v0-v4: a member is alive; REBALANCE_IN_PROGRESS tells it to join again. v3 static members."""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.heartbeat import HeartbeatRequest, HeartbeatResponse


def handle(services: Services, context: RequestContext, request: HeartbeatRequest) -> Pending[HeartbeatResponse]:
    """Count the member as alive."""
    return services.groups.heartbeat(request)
