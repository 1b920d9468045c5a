"""Asks the brokers of any Kafka cluster how it is, by APIs that Apache Kafka has too, and puts the answers together.

    DescribeCluster, Metadata, DescribeConfigs      of any broker: who is there, who leads, min.insync.replicas
    DescribeLogDirs, ListOffsets                    of every broker: sizes, failed directories, log ends of its replicas
    DescribeTopicPartitions                         of any: who may lead what has no leader (KIP-966)

A log's end of a follower is told to replica id -2 only, the "debugging consumer" of Kafka's ReplicaVerificationTool.
All brokers are asked at the same time, yet not at one moment: under load a replica that keeps up seems some records
behind. What a broker does not tell is left open; one that does not answer is in trouble.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Any, Final, NamedTuple, Protocol

from tailrace.base.errors import ErrorCode, TailraceError
from tailrace.client.cluster_health import judge
from tailrace.client.cluster_state import NOBODY, BrokerState, ClusterState, PartitionState, ReplicaState
from tailrace.client.plain_requests import BrokerAddress
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_cluster import DescribeClusterRequest
from tailrace.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from tailrace.wire.messages.describe_log_dirs import DescribeLogDirsRequest
from tailrace.wire.messages.describe_topic_partitions import DescribeTopicPartitionsRequest, TopicRequest
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tailrace.wire.messages.metadata import MetadataRequest

DEBUGGING_REPLICA: Final = -2
LATEST_TIMESTAMP: Final = -1
TOPIC_RESOURCE: Final = 2
MIN_INSYNC_REPLICAS: Final = "min.insync.replicas"

Place = tuple[str, int]
"""Topic and partition."""


class Asks(Protocol):
    """What `PlainRequests` does. `ask` raises TailraceError when there is no answer."""

    async def ask(self, key: ApiKey, request: Any, broker: BrokerAddress | None = None) -> Any: ...


class _Told(NamedTuple):
    """What one broker tells of its replicas."""

    trouble: str = ""
    failed_log_dirs: tuple[str, ...] = ()
    sizes: Mapping[Place, int] = MappingProxyType({})
    ends: Mapping[Place, int] = MappingProxyType({})


async def describe_cluster(asks: Asks) -> ClusterState:
    """How the cluster is. Raises TailraceError when no broker tells who is there."""
    described = await asks.ask(ApiKey.DESCRIBE_CLUSTER, DescribeClusterRequest(include_fenced_brokers=True))
    metadata = await asks.ask(ApiKey.METADATA, MetadataRequest(None, allow_auto_topic_creation=False))
    brokers = [
        BrokerState(
            each.broker_id, each.host, each.port, each.rack, each.broker_id == described.controller_id, each.is_fenced
        )
        for each in sorted(described.brokers, key=lambda broker: int(broker.broker_id))
    ]
    brokers += _unregistered(metadata, {broker.broker for broker in brokers})
    minimums = await _minimums(asks, [topic.name for topic in metadata.topics])
    partitions = [
        _partition(topic.name, found, minimums.get(topic.name))
        for topic in sorted(metadata.topics, key=lambda topic: str(topic.name))
        for found in sorted(topic.partitions, key=lambda found: int(found.partition_index))
    ]
    alive = [broker for broker in brokers if not broker.is_fenced and not broker.trouble]
    told = await asyncio.gather(*(_ask_broker(asks, broker, partitions) for broker in alive))
    _fill(brokers, partitions, {broker.broker: each for broker, each in zip(alive, told, strict=True)})
    await _fill_eligible(asks, partitions)
    state = ClusterState(described.cluster_id, described.controller_id, brokers, partitions)
    judge(state)
    return state


async def leader_of(asks: Asks, topic: str, partition: int) -> int | None:
    """Who leads a partition, -1: nobody; None where there is no such partition."""
    metadata = await asks.ask(ApiKey.METADATA, MetadataRequest(None, allow_auto_topic_creation=False))
    for found in (each for described in metadata.topics if described.name == topic for each in described.partitions):
        if found.partition_index == partition:
            leader: int = found.leader_id
            return leader
    return None


def _unregistered(metadata: Any, known: set[int]) -> list[BrokerState]:
    """Brokers that have replicas, and that nobody knows."""
    placed = {each for topic in metadata.topics for partition in topic.partitions for each in partition.replica_nodes}
    return [BrokerState(each, "", 0, None, False, False, "is not registered") for each in sorted(placed - known)]


def _partition(topic: str, found: Any, minimum: int | None) -> PartitionState:
    replicas = [
        ReplicaState(broker, broker in found.isr_nodes, broker in found.offline_replicas)
        for broker in found.replica_nodes
    ]
    return PartitionState(
        topic, found.partition_index, found.leader_id, found.leader_epoch, list(found.isr_nodes), minimum, replicas
    )


async def _minimums(asks: Asks, topics: list[str]) -> dict[str, int]:
    """`min.insync.replicas` of each topic that may be asked for it."""
    resources = [DescribeConfigsResource(TOPIC_RESOURCE, topic, [MIN_INSYNC_REPLICAS]) for topic in topics]
    if not resources:
        return {}
    try:
        answer = await asks.ask(ApiKey.DESCRIBE_CONFIGS, DescribeConfigsRequest(resources))
    except TailraceError:
        return {}
    return {
        result.resource_name: int(config.value)
        for result in answer.results
        for config in result.configs
        if config.name == MIN_INSYNC_REPLICAS and config.value
    }


async def _ask_broker(asks: Asks, broker: BrokerState, partitions: Iterable[PartitionState]) -> _Told:
    address = broker.host, broker.port
    topics: dict[str, list[ListOffsetsPartition]] = {}
    for partition in partitions:
        if any(replica.broker == broker.broker for replica in partition.replicas):
            wanted = ListOffsetsPartition(partition.partition, timestamp=LATEST_TIMESTAMP)
            topics.setdefault(partition.topic, []).append(wanted)
    asked = [ListOffsetsTopic(name, wanted) for name, wanted in topics.items()]
    try:
        directories = await asks.ask(ApiKey.DESCRIBE_LOG_DIRS, DescribeLogDirsRequest(None), address)
        request = ListOffsetsRequest(replica_id=DEBUGGING_REPLICA, topics=asked)
        offsets = await asks.ask(ApiKey.LIST_OFFSETS, request, address) if asked else None
    except TailraceError as error:
        return _Told(f"does not answer: {error}")
    failed = tuple(each.log_dir for each in directories.results if each.error_code == ErrorCode.KAFKA_STORAGE_ERROR)
    sizes = {
        (topic.name, each.partition_index): each.partition_size
        for directory in directories.results
        for topic in directory.topics
        for each in topic.partitions
        if not each.is_future_key
    }
    ends = {
        (topic.name, each.partition_index): each.offset
        for topic in (offsets.topics if offsets is not None else ())
        for each in topic.partitions
        if each.error_code == ErrorCode.NONE
    }
    return _Told("", failed, sizes, ends)


def _fill(brokers: list[BrokerState], partitions: list[PartitionState], told: dict[int, _Told]) -> None:
    nothing = _Told()
    for partition in partitions:
        place = partition.topic, partition.partition
        leader = told.get(partition.leader, nothing)
        for replica in partition.replicas:
            own = told.get(replica.broker, nothing)
            replica.end_offset, replica.size_bytes = own.ends.get(place), own.sizes.get(place)
            replica.lag_records = _behind(leader.ends.get(place), replica.end_offset)
            replica.lag_bytes = _behind(leader.sizes.get(place), replica.size_bytes)
    for broker in brokers:
        own = told.get(broker.broker, nothing)
        broker.trouble, broker.failed_log_dirs = broker.trouble or own.trouble, list(own.failed_log_dirs)
        broker.leaders = sum(each.leader == broker.broker for each in partitions)
        broker.replicas = sum(replica.broker == broker.broker for each in partitions for replica in each.replicas)
        if broker.broker in told and not own.trouble:
            broker.size_bytes = sum(own.sizes.values())


def _behind(leader: int | None, replica: int | None) -> int | None:
    return None if leader is None or replica is None else max(0, leader - replica)


async def _fill_eligible(asks: Asks, partitions: list[PartitionState]) -> None:
    """Who may lead what has no leader, from a cluster that tells (KIP-966)."""
    unled = {(each.topic, each.partition): each for each in partitions if each.leader == NOBODY}
    topics = sorted({topic for topic, _ in unled})
    if not topics:
        return
    try:
        request = DescribeTopicPartitionsRequest([TopicRequest(topic) for topic in topics])
        answer = await asks.ask(ApiKey.DESCRIBE_TOPIC_PARTITIONS, request)
    except TailraceError:
        return
    for topic in answer.topics:
        for found in topic.partitions:
            partition = unled.get((topic.name, found.partition_index))
            if partition is not None:
                partition.eligible_leaders = list(found.eligible_leader_replicas or ())
