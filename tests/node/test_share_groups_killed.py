"""Share groups of a broker that is killed: members, assignments, and how far each partition is come back."""

from __future__ import annotations

import signal
import time
from pathlib import Path
from typing import Any
from uuid import UUID

from tests.node.served import RawClient, ServedBroker

from tailrace.wire.api import ApiKey
from tailrace.wire.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
)
from tailrace.wire.messages.create_topics import CreatableTopic, CreateTopicsRequest
from tailrace.wire.messages.delete_groups import DeleteGroupsRequest
from tailrace.wire.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
)
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.read_share_group_state import (
    PartitionData as ReadPartition,
)
from tailrace.wire.messages.read_share_group_state import ReadShareGroupStateRequest, ReadStateData
from tailrace.wire.messages.share_group_describe import ShareGroupDescribeRequest
from tailrace.wire.messages.share_group_heartbeat import ShareGroupHeartbeatRequest
from tailrace.wire.messages.write_share_group_state import (
    PartitionData as WritePartition,
)
from tailrace.wire.messages.write_share_group_state import StateBatch, WriteShareGroupStateRequest, WriteStateData

GROUP, TOPIC = "workers", "work"
WAIT_S = 60.0
UPDATES = 7


def beat(client: RawClient, epoch: int, topics: list[str] | None) -> Any:
    request = ShareGroupHeartbeatRequest(GROUP, "member", epoch, None, topics)
    return client.ask(ApiKey.SHARE_GROUP_HEARTBEAT, 1, request)


def join(client: RawClient) -> int:
    """Heartbeats until everything is assigned; the epoch."""
    epoch, deadline = 0, time.monotonic() + WAIT_S
    while True:
        answer = beat(client, epoch, [TOPIC])
        assert time.monotonic() < deadline, answer
        epoch = answer.member_epoch if answer.error_code == 0 else epoch
        if answer.assignment is not None and any(
            len(topic.partitions) == 2 for topic in answer.assignment.topic_partitions
        ):
            return epoch
        time.sleep(0.05)


def seen(client: RawClient, topic_id: UUID) -> tuple[Any, ...]:
    """The group, its offsets and a state, as they are told."""
    described = client.ask(ApiKey.SHARE_GROUP_DESCRIBE, 1, ShareGroupDescribeRequest([GROUP])).groups
    asked = DescribeShareGroupOffsetsRequestGroup(GROUP)
    asked.topics = None
    offsets = client.ask(ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS, 1, DescribeShareGroupOffsetsRequest([asked])).groups
    read = ReadShareGroupStateRequest(GROUP, [ReadStateData(topic_id, [ReadPartition(1, 5)])])
    return described, offsets, client.ask(ApiKey.READ_SHARE_GROUP_STATE, 0, read).results


def test_what_was_answered_is_there_after_a_kill(tmp_path: Path) -> None:
    arguments = ("--set", "share.coordinator.snapshot.update.records.per.snapshot=3")
    with ServedBroker(tmp_path / "data", *arguments) as broker, RawClient(broker.address) as client:
        client.ask(ApiKey.FIND_COORDINATOR, 4, FindCoordinatorRequest("", 0, [GROUP]))
        created = client.ask(ApiKey.CREATE_TOPICS, 7, CreateTopicsRequest([CreatableTopic(TOPIC, 2, 1)], 10_000))
        topic_id = created.topics[0].topic_id
        start = AlterShareGroupOffsetsRequestPartition(0, 0)
        altered = AlterShareGroupOffsetsRequest(GROUP, [AlterShareGroupOffsetsRequestTopic(TOPIC, [start])])
        assert client.ask(ApiKey.ALTER_SHARE_GROUP_OFFSETS, 0, altered).responses[0].partitions[0].error_code == 0
        epoch = join(client)
        seen(client, topic_id)  # reads as the leader of epoch 5, which is written down
        for number in range(UPDATES):
            batch = StateBatch(10 * number, 10 * number + 5, 2, 1)
            data = WritePartition(1, epoch, 5, 0, number, [batch])
            written = WriteShareGroupStateRequest(GROUP, [WriteStateData(topic_id, [data])])
            assert client.ask(ApiKey.WRITE_SHARE_GROUP_STATE, 1, written).results[0].partitions[0].error_code == 0
        before = seen(client, topic_id)
        broker.stop(signal.SIGKILL)
    with ServedBroker(tmp_path / "data", *arguments) as broker, RawClient(broker.address) as client:
        assert seen(client, topic_id) == before
        assert len(before[2][0].partitions[0].state_batches) == UPDATES
        told = beat(client, epoch, None)
        assert (told.error_code, told.member_epoch) == (0, epoch)
        assert beat(client, -1, None).error_code == 0
        deleted = client.ask(ApiKey.DELETE_GROUPS, 2, DeleteGroupsRequest([GROUP]))
        assert deleted.results[0].error_code == 0
        broker.stop(signal.SIGKILL)
    with ServedBroker(tmp_path / "data", *arguments) as broker, RawClient(broker.address) as client:
        described, offsets, states = seen(client, topic_id)
        assert described[0].error_code == 69, "GROUP_ID_NOT_FOUND"
        assert offsets[0].topics == []
        assert states[0].partitions[0].error_code == 42, "INVALID_REQUEST: no such state"
