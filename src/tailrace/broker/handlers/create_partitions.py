"""CreatePartitions (key 37), v0-v3.

Behaviour: every topic of the request is in the answer, with its own code (a client that gets an empty list waits for
    ever); one refused topic does not stop the others; a name given twice is refused. Partitions exist when the answer
    is sent. `timeout_ms` is not used.
"""

from __future__ import annotations

from collections import Counter

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.controller import decide_create_partitions
from tailrace.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopic,
    CreatePartitionsTopicResult,
)


def handle(services: Services, context: RequestContext, request: CreatePartitionsRequest) -> CreatePartitionsResponse:
    """Add partitions, or only say what would happen."""
    results: dict[str, CreatePartitionsTopicResult] = {}
    counts = Counter(topic.name for topic in request.topics)
    for topic in request.topics:
        try:
            if counts[topic.name] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            _grow(services, topic, request.validate_only)
        except KafkaError as error:
            results[topic.name] = CreatePartitionsTopicResult(topic.name, error.code, error.message)
        else:
            results[topic.name] = CreatePartitionsTopicResult(topic.name)
    return CreatePartitionsResponse(results=list(results.values()))


def _grow(services: Services, topic: CreatePartitionsTopic, validate_only: bool) -> None:
    assignments = None if topic.assignments is None else [assignment.broker_ids for assignment in topic.assignments]
    metadata = services.metadata
    records = decide_create_partitions(metadata.image, topic.name, topic.count, assignments)
    if not validate_only:
        metadata.commit(records)
