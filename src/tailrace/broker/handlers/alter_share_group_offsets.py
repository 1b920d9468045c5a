"""AlterShareGroupOffsets (key 91), v0: where a share group without members begins (KIP-932).

Behaviour: a group that does not exist is made. Every partition's state is made anew; each is answered for itself.
"""

from __future__ import annotations

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.broker.share_topic import with_state_topic
from tailrace.wire.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsResponse,
)


def handle(
    services: Services, context: RequestContext, request: AlterShareGroupOffsetsRequest
) -> Pending[AlterShareGroupOffsetsResponse]:
    """Give the group its start offsets."""
    return with_state_topic(services, lambda: services.groups.share.alter_offsets(request))
