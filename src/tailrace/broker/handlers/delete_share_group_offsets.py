"""DeleteShareGroupOffsets (key 92), v0: a share group without members forgets topics (KIP-932)."""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponse,
)


def handle(
    services: Services, context: RequestContext, request: DeleteShareGroupOffsetsRequest
) -> Pending[DeleteShareGroupOffsetsResponse]:
    """Delete the states of the topics named."""
    return services.groups.share.delete_offsets(request)
