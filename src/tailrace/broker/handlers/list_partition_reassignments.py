"""ListPartitionReassignments (key 46), v0: the partitions that are on their way to other brokers.

Behaviour: of each that was asked for, or of all, the replicas it has meanwhile, those that come and those that will go.
    Topics and partitions that do not exist, or do not move, are left out, as Kafka does. `timeout_ms` is not used.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import MetadataImage
from tailrace.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    ListPartitionReassignmentsResponse,
    ListPartitionReassignmentsTopics,
    OngoingPartitionReassignment,
    OngoingTopicReassignment,
)


def handle(
    services: Services, context: RequestContext, request: ListPartitionReassignmentsRequest
) -> ListPartitionReassignmentsResponse:
    """List what moves."""
    image = services.metadata.image
    asked = request.topics
    if asked is None:
        asked = [
            ListPartitionReassignmentsTopics(name, [*range(len(topic.partitions))])
            for name, topic in image.topics.items()
        ]
    topics = []
    for topic in asked:
        moving = list(_moving(image, topic))
        if moving:
            topics.append(OngoingTopicReassignment(topic.name, moving))
    return ListPartitionReassignmentsResponse(error_message=None, topics=topics)


def _moving(image: MetadataImage, topic: ListPartitionReassignmentsTopics) -> Iterator[OngoingPartitionReassignment]:
    for index in topic.partition_indexes:
        found = image.partition(topic.name, index)
        if found is not None and found.is_moving:
            yield OngoingPartitionReassignment(
                index, list(found.replicas), list(found.adding_replicas), list(found.removing_replicas)
            )
