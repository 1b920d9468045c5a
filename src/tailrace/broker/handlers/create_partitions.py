"""CreatePartitions (key 37), v0-v3.

Behaviour: every topic of the request is in the answer, with its own code (a client that gets an empty list waits for
    ever); one refused topic does not stop the others; a name given twice is refused. Partitions exist when the answer
    is sent. `timeout_ms` is not used.
"""

from __future__ import annotations

from collections import Counter
from functools import partial

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.proposed import respond_after
from tailrace.broker.services import Services
from tailrace.cluster.controller import decide_create_partitions
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.proposal import Decided
from tailrace.cluster.records import Record
from tailrace.wire.messages.create_partitions import (
    CreatePartitionsRequest,
    CreatePartitionsResponse,
    CreatePartitionsTopicResult,
)


def handle(
    services: Services, context: RequestContext, request: CreatePartitionsRequest
) -> CreatePartitionsResponse | Pending[CreatePartitionsResponse]:
    """Add partitions, or only say what would happen."""
    return respond_after(
        context,
        request,
        services.propose(partial(_decide, request)),
        lambda results: CreatePartitionsResponse(results=results),
    )


def _decide(request: CreatePartitionsRequest, image: MetadataImage) -> Decided[list[CreatePartitionsTopicResult]]:
    results: dict[str, CreatePartitionsTopicResult] = {}
    records: list[Record] = []
    counts = Counter(topic.name for topic in request.topics)
    for topic in request.topics:
        try:
            if counts[topic.name] > 1:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Duplicate topic name.")
            assignments = None if topic.assignments is None else [each.broker_ids for each in topic.assignments]
            records += decide_create_partitions(image, topic.name, topic.count, assignments)
        except KafkaError as error:
            results[topic.name] = CreatePartitionsTopicResult(topic.name, error.code, error.message)
        else:
            results[topic.name] = CreatePartitionsTopicResult(topic.name)
    return Decided(list(results.values()), [] if request.validate_only else records)
