"""CreateTopics (key 19), v0-v7.

Behaviour: one refused topic does not stop the others; a name given twice is refused as a whole; the
    answer waits until the topics exist on this broker, which is when their metadata is committed; `timeout_ms` is not
    used.
Versions: v1 validate_only; v4 -1 partitions and replicas mean the broker's defaults (accepted from any version, as
    Kafka does); v5 answers with the settings in force (KIP-525); v7 topic id.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.config_entries import topic_entries
from tailrace.cluster.controller import Decision, TopicWish, decide_create_topics
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import ConfigRecord, PartitionRecord, Record, TopicRecord
from tailrace.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)


def handle(
    services: Services, context: RequestContext, request: CreateTopicsRequest
) -> CreateTopicsResponse | Pending[CreateTopicsResponse]:
    """Create the topics, or only say what would happen."""
    metadata = services.metadata
    counts = Counter(topic.name for topic in request.topics)
    wishes = [_wish(topic) for topic in request.topics if counts[topic.name] == 1]

    def decide(image: MetadataImage) -> Decided[Decision]:
        decision = decide_create_topics(image, wishes, metadata.topic_defaults, metadata.new_topic_id)
        if request.validate_only:
            return Decided(decision, [])
        services.logs.space.check_create()
        return Decided(decision, decision.records)

    def respond(decision: Decision) -> CreateTopicsResponse:
        return CreateTopicsResponse(topics=[_result(services, name, decision) for name in counts])

    return respond_after(context, request, services.propose(decide), respond)


def _wish(topic: CreatableTopic) -> TopicWish:
    assignments = {assignment.partition_index: assignment.broker_ids for assignment in topic.assignments}
    if len(assignments) < len(topic.assignments):
        assignments[-1] = []  # an index given twice: refused as not consecutive, like any other hole
    configs = {config.name: config.value for config in topic.configs}
    return TopicWish(topic.name, topic.num_partitions, topic.replication_factor, assignments, configs)


def _result(services: Services, name: str, decision: Decision) -> CreatableTopicResult:
    records = decision.granted.get(name)
    if records is not None:
        return _created(services, name, records)
    twice = KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
    return _refused(name, decision.refused.get(name, twice))


def _refused(name: str, error: KafkaError) -> CreatableTopicResult:
    return CreatableTopicResult(name, error_code=error.code, error_message=error.message, configs=[])


def _created(services: Services, name: str, records: Sequence[Record]) -> CreatableTopicResult:
    """The result of a granted wish, read from its records: with `validate_only` they never reach the image."""
    topic_id = next(record.topic_id for record in records if isinstance(record, TopicRecord))
    partitions = [record for record in records if isinstance(record, PartitionRecord)]
    own = {record.name: record.value or "" for record in records if isinstance(record, ConfigRecord)}
    configs = [
        CreatableTopicConfigs(
            entry.definition.name, entry.value, entry.is_read_only, entry.source, entry.definition.is_sensitive
        )
        for entry in topic_entries(own, services.settings)
    ]
    return CreatableTopicResult(
        name,
        topic_id,
        error_message=None,
        num_partitions=len(partitions),
        replication_factor=len(partitions[0].replicas),
        configs=configs,
    )
