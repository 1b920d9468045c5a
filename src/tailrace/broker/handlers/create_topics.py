"""CreateTopics (key 19), v0-v7.

Behaviour: one refused topic does not stop the others; a name given twice is refused as a whole; nobody waits, for a
    topic exists on this broker when its metadata is committed, whatever `timeout_ms` says.
Versions: v1 validate_only; v4 -1 partitions and replicas mean the broker's defaults (accepted from any version, as
    Kafka does); v5 answers with the settings in force (KIP-525); v7 topic id.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.config_entries import topic_entries
from tailrace.cluster.controller import Decision, TopicWish, decide_create_topics
from tailrace.cluster.records import ConfigRecord, PartitionRecord, TopicRecord
from tailrace.wire.messages.create_topics import (
    CreatableTopic,
    CreatableTopicConfigs,
    CreatableTopicResult,
    CreateTopicsRequest,
    CreateTopicsResponse,
)


def handle(services: Services, context: RequestContext, request: CreateTopicsRequest) -> CreateTopicsResponse:
    """Create the topics, or only say what would happen."""
    metadata = services.metadata
    names = [topic.name for topic in request.topics]
    duplicates = dict.fromkeys(name for name in names if names.count(name) > 1) if len(set(names)) < len(names) else {}
    wishes = [_wish(topic) for topic in request.topics if topic.name not in duplicates]
    decision = decide_create_topics(metadata.image, wishes, metadata.topic_defaults, metadata.new_topic_id)
    if not request.validate_only:
        metadata.commit(decision.records)
    results = [_refused(name, KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")) for name in duplicates]
    for name, error in decision.outcomes.items():
        if error is not None:
            results.append(_refused(name, error))
        else:
            results.append(_created(services, name, decision))
    return CreateTopicsResponse(topics=results)


def _wish(topic: CreatableTopic) -> TopicWish:
    assignments = {assignment.partition_index: assignment.broker_ids for assignment in topic.assignments}
    if len(assignments) < len(topic.assignments):
        assignments[-1] = []  # an index given twice: refused as not consecutive, like any other hole
    configs = {config.name: config.value for config in topic.configs}
    return TopicWish(topic.name, topic.num_partitions, topic.replication_factor, assignments, configs)


def _refused(name: str, error: KafkaError) -> CreatableTopicResult:
    return CreatableTopicResult(name, error_code=error.code, error_message=error.message, configs=[])


def _created(services: Services, name: str, decision: Decision) -> CreatableTopicResult:
    """The result of a granted wish, read from its records: with `validate_only` they never reach the image."""
    topic_id = next(r.topic_id for r in decision.records if isinstance(r, TopicRecord) and r.name == name)
    partitions = [r for r in decision.records if isinstance(r, PartitionRecord) and r.topic_id == topic_id]
    own = {r.name: r.value or "" for r in decision.records if isinstance(r, ConfigRecord) and r.resource_name == name}
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
