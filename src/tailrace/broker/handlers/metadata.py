"""Metadata (key 3), v0-v13: brokers, topics, who leads what.

Behaviour: a topic that does not exist is created when the client allows it and `auto.create.topics.enable` is set, and
    is in the very answer that created it: one broker needs no election, so no client has to ask again. Every topic is
    answered once, existing ones first, as Kafka does.
    A partition whose storage is offline has no leader (LEADER_NOT_AVAILABLE) and an offline replica, as in Kafka.
Versions: v0 empty = all topics; v1 null = all, empty = none; v4 auto-creation is the client's choice, before it always
    allowed; v8 authorized operations (for the cluster until v10); v12 topics by id.
"""

from __future__ import annotations

from uuid import UUID

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.broker.addresses import broker_addresses
from tailrace.broker.authorized_operations import CLUSTER_OPERATIONS, NOT_ASKED, TOPIC_OPERATIONS
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import INTERNAL_TOPICS, TopicImage
from tailrace.cluster.topic_names import topic_name_error
from tailrace.wire.messages.metadata import (
    MetadataRequest,
    MetadataResponse,
    MetadataResponseBroker,
    MetadataResponsePartition,
    MetadataResponseTopic,
)


def handle(services: Services, context: RequestContext, request: MetadataRequest) -> MetadataResponse:
    """Answer for the topics asked for. Raises INVALID_REQUEST for topic ids before v12."""
    image = services.metadata.image
    version = context.api_version
    operations = TOPIC_OPERATIONS if request.include_topic_authorized_operations else NOT_ASKED
    if request.topics is None or (version == 0 and not request.topics):
        topics = [_topic(services, topic, operations) for topic in image.topics.values()]
    else:
        topics = _asked_topics(services, version, request, operations)
    return MetadataResponse(
        brokers=[MetadataResponseBroker(*address) for address in broker_addresses(services, context)],
        cluster_id=image.cluster_id,
        controller_id=services.node_id,
        topics=topics,
        cluster_authorized_operations=CLUSTER_OPERATIONS
        if request.include_cluster_authorized_operations
        else NOT_ASKED,
    )


def _asked_topics(
    services: Services, version: int, request: MetadataRequest, operations: int
) -> list[MetadataResponseTopic]:
    image = services.metadata.image
    found: dict[str, MetadataResponseTopic] = {}
    missing: dict[object, MetadataResponseTopic] = {}
    for asked in request.topics or ():
        name: str | None
        if version >= 12 and asked.topic_id != ZERO_TOPIC_ID:
            topic = image.topic_by_id(asked.topic_id)
            name = None if topic is None else topic.name
            if name is None:
                missing[asked.topic_id] = _missing(None, asked.topic_id, ErrorCode.UNKNOWN_TOPIC_ID)
                continue
        else:
            name = asked.name
            if name is None or asked.topic_id != ZERO_TOPIC_ID:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Topic IDs are not supported before version 12.")
        if name in found or name in missing:
            continue
        topic = image.topic(name)
        if topic is None:
            code = _create(services, version, request, name)
            topic = image.topic(name)
            if topic is None:
                missing[name] = _missing(name, ZERO_TOPIC_ID, code)
                continue
        found[name] = _topic(services, topic, operations)
    return [*found.values(), *missing.values()]


def _create(services: Services, version: int, request: MetadataRequest, name: str) -> ErrorCode:
    """Create topic `name` if that is allowed; says why it does not exist if it still does not."""
    if topic_name_error(name) is not None:
        return ErrorCode.INVALID_TOPIC_EXCEPTION
    allowed = request.allow_auto_topic_creation or version < 4
    if not allowed or not services.settings.boolean("auto.create.topics.enable"):
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    try:
        services.auto_create(name)
    except KafkaError as error:
        return error.code
    return ErrorCode.NONE


def _missing(name: str | None, topic_id: UUID, code: ErrorCode) -> MetadataResponseTopic:
    return MetadataResponseTopic(code, name, topic_id, is_internal=name in INTERNAL_TOPICS)


def _topic(services: Services, topic: TopicImage, operations: int) -> MetadataResponseTopic:
    partitions = [_partition(services, topic.name, index) for index in range(len(topic.partitions))]
    return MetadataResponseTopic(0, topic.name, topic.topic_id, topic.is_internal, partitions, operations)


def _partition(services: Services, topic: str, index: int) -> MetadataResponsePartition:
    partition, offline_replicas = services.partition_state(topic, index)
    return MetadataResponsePartition(
        ErrorCode.NONE if partition.leader >= 0 else ErrorCode.LEADER_NOT_AVAILABLE,
        index,
        partition.leader,
        partition.leader_epoch,
        list(partition.replicas),
        list(partition.isr),
        offline_replicas,
    )
