"""A topic's settings altered while the broker runs: obeyed at once, by the process as a whole."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

from tests.node.served import RawClient, ServedBroker
from tests.support.log_support import batch_of

from tailrace.base.errors import ErrorCode
from tailrace.cluster.records import ResourceType
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from tailrace.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tailrace.wire.messages.list_offsets import ListOffsetsPartition, ListOffsetsRequest, ListOffsetsTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

WAIT_S = 60.0
HOUR_MS = 3_600_000


def now_ms() -> int:
    return int(time.time() * 1000)


def alter(client: RawClient, kind: ResourceType, resource: str, name: str, value: str) -> None:
    config = AlterableConfig(name=name, config_operation=0, value=value)
    wanted = AlterConfigsResource(resource_type=kind, resource_name=resource, configs=[config])
    request = IncrementalAlterConfigsRequest(resources=[wanted])
    answer = client.ask(ApiKey.INCREMENTAL_ALTER_CONFIGS, 1, request)
    assert answer.responses[0].error_code == 0, answer.responses[0].error_message


def produce(client: RawClient, timestamp_ms: int, size: int = 10) -> int:
    records = bytes(batch_of(1, timestamp=timestamp_ms, value=b"x" * size))
    data = TopicProduceData(name="t", partition_data=[PartitionProduceData(index=0, records=memoryview(records))])
    answer = client.ask(ApiKey.PRODUCE, 9, ProduceRequest(acks=-1, timeout_ms=1000, topic_data=[data]))
    return int(answer.responses[0].partition_responses[0].error_code)


def log_start(client: RawClient) -> int:
    topic = ListOffsetsTopic(name="t", partitions=[ListOffsetsPartition(partition_index=0, timestamp=-2)])
    answer = client.ask(ApiKey.LIST_OFFSETS, 7, ListOffsetsRequest(replica_id=-1, topics=[topic]))
    return int(answer.topics[0].partitions[0].offset)


def eventually(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + WAIT_S
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_retention_and_the_writers_limits_follow_an_alteration(tmp_path: Path) -> None:
    with (
        ServedBroker(tmp_path, "--set", "log.retention.check.interval.ms=100") as broker,
        RawClient(broker.address) as client,
    ):
        topic = CreatableTopic(name="t", num_partitions=1, replication_factor=1)
        client.ask(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic], timeout_ms=1000))
        assert produce(client, now_ms() - 2 * HOUR_MS) == ErrorCode.NONE
        time.sleep(0.3)
        assert log_start(client) == 0, "seven days are not over"
        alter(client, ResourceType.TOPIC, "t", "retention.ms", str(HOUR_MS))
        eventually(lambda: log_start(client) == 1)

        alter(client, ResourceType.TOPIC, "t", "max.message.bytes", "200")
        assert produce(client, now_ms(), 300) == ErrorCode.MESSAGE_TOO_LARGE
        alter(client, ResourceType.TOPIC, "t", "message.timestamp.before.max.ms", "1000")
        assert produce(client, now_ms() - HOUR_MS) == ErrorCode.INVALID_TIMESTAMP
        alter(client, ResourceType.TOPIC, "t", "cleanup.policy", "compact")
        assert produce(client, now_ms()) == ErrorCode.NONE


def test_a_brokers_default_reaches_the_topics_that_have_none_of_their_own(tmp_path: Path) -> None:
    with (
        ServedBroker(tmp_path, "--set", "log.retention.check.interval.ms=100") as broker,
        RawClient(broker.address) as client,
    ):
        topic = CreatableTopic(name="t", num_partitions=1, replication_factor=1)
        client.ask(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest(topics=[topic], timeout_ms=1000))
        assert produce(client, now_ms() - 2 * HOUR_MS) == ErrorCode.NONE
        alter(client, ResourceType.BROKER, "", "log.retention.ms", str(HOUR_MS))
        eventually(lambda: log_start(client) == 1)
        alter(client, ResourceType.TOPIC, "t", "retention.ms", str(9 * HOUR_MS))
        assert produce(client, now_ms() - 2 * HOUR_MS) == ErrorCode.NONE
        time.sleep(0.3)
        assert log_start(client) == 1, "its own setting wins"
