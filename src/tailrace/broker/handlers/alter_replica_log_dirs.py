"""AlterReplicaLogDirs (key 34), v1-v2: move partitions of this broker to another of its log directories.

Behaviour: a partition that lies where it should is well there. Nothing is moved: for another directory the answer is
    UNSUPPORTED_VERSION, so that a tool says so and does not wait for it. A directory is named as DescribeLogDirs names
    it; one that is not of this broker is LOG_DIR_NOT_FOUND, one that is offline KAFKA_STORAGE_ERROR.
Source: KIP-113, Kafka ReplicaManager.alterReplicaLogDirs.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.base.types import TopicPartition
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.alter_replica_log_dirs import (
    AlterReplicaLogDirPartitionResult,
    AlterReplicaLogDirsRequest,
    AlterReplicaLogDirsResponse,
    AlterReplicaLogDirTopicResult,
)


def handle(
    services: Services, context: RequestContext, request: AlterReplicaLogDirsRequest
) -> AlterReplicaLogDirsResponse:
    """Say of each partition whether it lies where it should."""
    results: dict[str, dict[int, ErrorCode]] = {}
    for wish in request.dirs:
        for topic in wish.topics:
            for index in topic.partitions:
                results.setdefault(topic.name, {})[index] = _code(
                    services, wish.path, TopicPartition(topic.name, index)
                )
    return AlterReplicaLogDirsResponse(
        results=[
            AlterReplicaLogDirTopicResult(
                name, [AlterReplicaLogDirPartitionResult(index, code) for index, code in codes.items()]
            )
            for name, codes in results.items()
        ]
    )


def _code(services: Services, path: str, partition: TopicPartition) -> ErrorCode:
    directory = next((each for each in services.logs.directories if str(each.path.absolute()) == path), None)
    if directory is None:
        return ErrorCode.LOG_DIR_NOT_FOUND
    if directory.error is not None or services.partitions.is_offline(*partition):
        return ErrorCode.KAFKA_STORAGE_ERROR
    if services.partitions.get(*partition) is None:
        return ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    home = services.logs.directory_of(partition)
    return ErrorCode.NONE if home is directory else ErrorCode.UNSUPPORTED_VERSION
