"""DeleteGroups (key 42), v0-v3: delete Empty groups with their offsets; each is answered for itself."""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.delete_groups import DeletableGroupResult, DeleteGroupsRequest, DeleteGroupsResponse


def handle(services: Services, context: RequestContext, request: DeleteGroupsRequest) -> Pending[DeleteGroupsResponse]:
    """Delete each group; answered when the last one is decided."""
    group_ids = list(dict.fromkeys(request.groups_names))
    results: dict[str, DeletableGroupResult] = {}
    later: Pending[DeleteGroupsResponse] = Pending()

    def note(result: DeletableGroupResult) -> None:
        results[result.group_id] = result
        if len(results) == len(group_ids):
            later.complete(DeleteGroupsResponse(results=[results[group_id] for group_id in group_ids]))

    if not group_ids:
        later.complete(DeleteGroupsResponse())
    for group_id in group_ids:
        services.groups.delete_group(group_id).on_complete(note)
    return later
