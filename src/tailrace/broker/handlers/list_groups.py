"""ListGroups (key 16), v0-v5: the groups of this broker. v4 filters by state (KIP-518), v5 by type (KIP-848)."""

from __future__ import annotations

from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.list_groups import ListGroupsRequest, ListGroupsResponse


def handle(services: Services, context: RequestContext, request: ListGroupsRequest) -> ListGroupsResponse:
    """List groups, all or filtered."""
    return services.groups.list_groups(request.states_filter, request.types_filter)
