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
from tailrace.base.pending import Pending, mapped
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


def handle(
    services: Services, context: RequestContext, request: MetadataRequest
) -> MetadataResponse | Pending[MetadataResponse]:
    """Answer for the topics asked for. Raises INVALID_REQUEST for topic ids before v12."""
    version = context.api_version
    _check(version, request)
    if request.topics is None or (version == 0 and not request.topics):
        operations = _topic_operations(request)
        every = [_topic(services, topic, operations) for topic in services.metadata.image.topics.values()]
        return _response(services, context, request, every)
    wanted = _creatable(services, version, request)
    if not wanted:
        return _response(services, context, request, _asked_topics(services, request, {}))

    def respond(refused: dict[str, KafkaError]) -> MetadataResponse:
        return _response(services, context, request, _asked_topics(services, request, refused))

    created = mapped(services.auto_create(*wanted), respond)
    return created.value if created.done else created


def _check(version: int, request: MetadataRequest) -> None:
    for asked in request.topics or ():
        if asked.topic_id == ZERO_TOPIC_ID:
            is_allowed = asked.name is not None
        else:
            is_allowed = version >= 12
        if not is_allowed:
            raise KafkaError(ErrorCode.INVALID_REQUEST, "Topic IDs are not supported before version 12.")


def _response(
    services: Services, context: RequestContext, request: MetadataRequest, topics: list[MetadataResponseTopic]
) -> MetadataResponse:
    return MetadataResponse(
        brokers=[MetadataResponseBroker(*address[:4]) for address in broker_addresses(services, context)],
        cluster_id=services.metadata.image.cluster_id,
        controller_id=services.controller_id,
        topics=topics,
        cluster_authorized_operations=CLUSTER_OPERATIONS
        if request.include_cluster_authorized_operations
        else NOT_ASKED,
    )


def _topic_operations(request: MetadataRequest) -> int:
    return TOPIC_OPERATIONS if request.include_topic_authorized_operations else NOT_ASKED


def _creatable(services: Services, version: int, request: MetadataRequest) -> list[str]:
    """The topics that do not exist and may be created."""
    if not (request.allow_auto_topic_creation or version < 4):
        return []
    image = services.metadata.image
    asked = [topic.name for topic in request.topics or () if topic.topic_id == ZERO_TOPIC_ID]
    missing = [name for name in asked if name is not None and image.topic(name) is None]
    if not missing or not services.settings.boolean("auto.create.topics.enable"):
        return []
    return [name for name in dict.fromkeys(missing) if topic_name_error(name) is None]


def _asked_topics(
    services: Services, request: MetadataRequest, refused: dict[str, KafkaError]
) -> list[MetadataResponseTopic]:
    """The topics that were asked for; `refused` are those that could not be created."""
    image = services.metadata.image
    operations = _topic_operations(request)
    found: dict[str, MetadataResponseTopic] = {}
    missing: dict[object, MetadataResponseTopic] = {}
    for asked in request.topics or ():
        name = asked.name
        if asked.topic_id != ZERO_TOPIC_ID:
            topic = image.topic_by_id(asked.topic_id)
            name = None if topic is None else topic.name
        if name is None:
            missing[asked.topic_id] = _missing(None, asked.topic_id, ErrorCode.UNKNOWN_TOPIC_ID)
            continue
        if name in found or name in missing:
            continue
        topic = image.topic(name)
        if topic is None:
            missing[name] = _missing(name, ZERO_TOPIC_ID, _why_missing(name, refused))
        else:
            found[name] = _topic(services, topic, operations)
    return [*found.values(), *missing.values()]


def _why_missing(name: str, refused: dict[str, KafkaError]) -> ErrorCode:
    if topic_name_error(name) is not None:
        return ErrorCode.INVALID_TOPIC_EXCEPTION
    return refused[name].code if name in refused else ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


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
