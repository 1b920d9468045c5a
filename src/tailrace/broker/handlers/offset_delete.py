"""OffsetDelete (key 47), v0: forget committed offsets of topics nobody in the group consumes (KIP-496)."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestTopic,
    OffsetDeleteResponse,
    OffsetDeleteResponsePartition,
    OffsetDeleteResponseTopic,
)


def handle(
    services: Services, context: RequestContext, request: OffsetDeleteRequest
) -> OffsetDeleteResponse | Pending[OffsetDeleteResponse]:
    """Delete what exists; answer in the order of the request."""
    image = services.metadata.image
    existing = []
    for asked in request.topics:
        topic = image.topic(asked.name)
        known = range(0) if topic is None else range(len(topic.partitions))
        partitions = [partition for partition in asked.partitions if partition.partition_index in known]
        existing.append(OffsetDeleteRequestTopic(asked.name, partitions))
    later: Pending[OffsetDeleteResponse] = Pending()
    services.groups.delete_offsets(OffsetDeleteRequest(request.group_id, existing)).on_complete(
        lambda deleted: later.complete(_merged(request, deleted))
    )
    return later


def _merged(request: OffsetDeleteRequest, deleted: OffsetDeleteResponse) -> OffsetDeleteResponse:
    if deleted.error_code != ErrorCode.NONE:
        return deleted
    response = OffsetDeleteResponse()
    for asked, done in zip(request.topics, deleted.topics, strict=True):
        known = {partition.partition_index: partition.error_code for partition in done.partitions}
        response.topics.append(
            OffsetDeleteResponseTopic(
                asked.name,
                [
                    OffsetDeleteResponsePartition(
                        partition.partition_index,
                        known.get(partition.partition_index, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
                    )
                    for partition in asked.partitions
                ],
            )
        )
    return response
