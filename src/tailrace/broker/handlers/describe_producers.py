"""DescribeProducers (key 61), v0: the idempotent producers that a partition remembers (KIP-664).

Behaviour: each partition has its own code. `coordinator_epoch` is -1 for a producer without transactions.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.topic_names import topic_name_error
from tailrace.wire.messages.describe_producers import (
    DescribeProducersRequest,
    DescribeProducersResponse,
    PartitionResponse,
    ProducerState,
    TopicResponse,
)


def handle(services: Services, context: RequestContext, request: DescribeProducersRequest) -> DescribeProducersResponse:
    """Describe the producers of each partition asked for."""
    return DescribeProducersResponse(
        topics=[
            TopicResponse(topic.name, [_partition(services, topic.name, index) for index in topic.partition_indexes])
            for topic in request.topics
        ]
    )


def _partition(services: Services, topic: str, index: int) -> PartitionResponse:
    name_error = topic_name_error(topic)
    if name_error is not None:
        return PartitionResponse(index, ErrorCode.INVALID_TOPIC_EXCEPTION, name_error)
    try:
        partition = services.partitions.of(topic, index)
    except KafkaError as error:
        return PartitionResponse(index, error.code, "This server does not host this topic-partition.")
    producers = [
        ProducerState(
            producer.producer_id,
            producer.producer_epoch,
            producer.last_sequence,
            producer.last_timestamp,
            producer.coordinator_epoch,
            producer.current_txn_first_offset,
        )
        for producer in partition.log.active_producers()
    ]
    return PartitionResponse(index, active_producers=producers)
