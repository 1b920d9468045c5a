"""What is asked of groups: members and committed offsets of classic and consumer groups through librdkafka, share
groups, the reason of the last rebalance and the deletion of offsets by plain requests. Source: KIP-848, KIP-932.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterable, Sequence
from typing import Any, Final, NamedTuple

from confluent_kafka import ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import ConsumerGroupDescription, OffsetSpec

from tailrace.base.errors import ErrorCode, TailraceError
from tailrace.client.plain_requests import BrokerAddress
from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import ANSWER_TIMEOUT_S
from tailrace.console.problems import of_code
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
)
from tailrace.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource
from tailrace.wire.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
)
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.share_group_describe import ShareGroupDescribeRequest

GROUP_KEY: Final = 0
TRANSACTION_KEY: Final = 1
_GROUP_RESOURCE: Final = 32
_LAST_REBALANCE: Final = "tailrace.last.rebalance"

Place = tuple[str, int]
Places = dict[Place, int]


class Member(NamedTuple):
    """One member and what it has."""

    member_id: str
    instance_id: str | None
    client_id: str
    host: str
    places: list[Place]


class GroupFacts(NamedTuple):
    """One group as its coordinator sees it. `lags` are told by the coordinator itself for share groups alone."""

    kind: str
    state: str
    assignor: str | None
    coordinator: dict[str, Any] | None
    members: list[Member]
    committed: Places
    lags: Places | None = None


async def coordinator_of(kafka: KafkaCluster, key: str, key_type: int) -> tuple[int, BrokerAddress]:
    """The broker that coordinates a group or a transactional id."""
    answer = await kafka.ask(ApiKey.FIND_COORDINATOR, FindCoordinatorRequest(key, key_type, [key]))
    found = answer.coordinators[0] if answer.coordinators else answer
    if found.error_code:
        raise of_code(found.error_code, f"Nobody coordinates {key}", found.error_message)
    return found.node_id, (found.host, found.port)


async def committed_offsets(kafka: KafkaCluster, group: str) -> Places:
    """The offset committed in each partition that has one."""
    admin = await kafka.admin()
    futures = await kafka.call(
        lambda: admin.list_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group)], request_timeout=ANSWER_TIMEOUT_S
        )
    )
    found = await kafka.answer(futures[group], f"The offsets of {group} cannot be read")
    return {(each.topic, each.partition): each.offset for each in found.topic_partitions if each.offset >= 0}


async def describe_group(kafka: KafkaCluster, group: str) -> GroupFacts:
    """A classic or a consumer group."""
    admin = await kafka.admin()
    futures = await kafka.call(lambda: admin.describe_consumer_groups([group], request_timeout=ANSWER_TIMEOUT_S))
    described, committed = await asyncio.gather(
        kafka.answer(futures[group], f"{group} cannot be described"), committed_offsets(kafka, group)
    )
    assert isinstance(described, ConsumerGroupDescription)
    at: Any = described.coordinator
    state: Any = described.state
    kind: Any = described.type
    return GroupFacts(
        kind=kind.name.lower(),
        state=state.name.title().replace("_", ""),
        assignor=described.partition_assignor or None,
        coordinator=None if at is None else {"id": at.id, "host": at.host, "port": at.port},
        members=[_member(each) for each in described.members],
        committed=committed,
    )


async def describe_share_group(kafka: KafkaCluster, group: str) -> GroupFacts:
    """A share group: where it begins in each partition stands for what is committed."""
    number, address = await coordinator_of(kafka, group, GROUP_KEY)
    answer = await kafka.ask(ApiKey.SHARE_GROUP_DESCRIBE, ShareGroupDescribeRequest([group]), address)
    (told,) = answer.groups
    if told.error_code:
        raise of_code(told.error_code, f"{group} cannot be described", told.error_message)
    wanted = DescribeShareGroupOffsetsRequestGroup(group)
    wanted.topics = None
    offsets = await kafka.ask(ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS, DescribeShareGroupOffsetsRequest([wanted]), address)
    places = [((topic.topic_name, each.partition_index), each) for topic in offsets.groups[0].topics
              for each in topic.partitions]  # fmt: skip
    return GroupFacts(
        kind="share",
        state=told.group_state,
        assignor=told.assignor_name or None,
        coordinator={"id": number, "host": address[0], "port": address[1]},
        members=[
            Member(each.member_id, None, each.client_id, each.client_host,
                   [(topic.topic_name, index) for topic in each.assignment.topic_partitions
                    for index in topic.partitions])
            for each in told.members
        ],
        committed={place: each.start_offset for place, each in places if each.start_offset >= 0},
        lags={place: each.lag for place, each in places if each.lag >= 0},
    )  # fmt: skip


async def move_offsets(kafka: KafkaCluster, group: str, kind: str, targets: Places) -> None:
    """Have a group without members begin at `targets`."""
    if kind == "share":
        await _move_share(kafka, group, targets)
        return
    admin = await kafka.admin()
    offsets = [TopicPartition(topic, number, offset) for (topic, number), offset in sorted(targets.items())]
    futures = await kafka.call(
        lambda: admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, offsets)], request_timeout=ANSWER_TIMEOUT_S
        )
    )
    found = await kafka.answer(futures[group], f"The offsets of {group} were not moved")
    for each in found.topic_partitions:
        if each.error is not None:
            raise of_code(each.error.code(), f"The offset of {each.topic}-{each.partition} was not moved")


async def bounds(kafka: KafkaCluster, places: Iterable[Place]) -> tuple[Places, Places]:
    """Begin and end of each partition."""
    wanted = list(places)
    begins, ends = await asyncio.gather(
        kafka.offsets(wanted, OffsetSpec.earliest()), kafka.offsets(wanted, OffsetSpec.latest())
    )
    return begins, ends


async def last_rebalance(kafka: KafkaCluster, group: str) -> dict[str, Any] | None:
    """When and why a group last rebalanced, where its coordinator is a Tailrace; else None."""
    try:
        _, address = await coordinator_of(kafka, group, GROUP_KEY)
        resource = DescribeConfigsResource(_GROUP_RESOURCE, group, [_LAST_REBALANCE])
        answer = await kafka.ask(ApiKey.DESCRIBE_CONFIGS, DescribeConfigsRequest([resource]), address)
        told = next((each.value for each in answer.results[0].configs if each.name == _LAST_REBALANCE), None)
        found = json.loads(told) if told else None
    except (TailraceError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def lag_of(places: Sequence[Place], committed: Places, ends: Places) -> int | None:
    """The lag of those of `places` where it is known; None where it is known of none."""
    known = [max(0, ends[each] - committed[each]) for each in places if each in committed and each in ends]
    return sum(known) if known else None


def _member(told: Any) -> Member:
    places = told.assignment.topic_partitions if told.assignment else []
    return Member(
        told.member_id,
        told.group_instance_id,
        told.client_id,
        told.host,
        sorted((each.topic, each.partition) for each in places),
    )


async def _move_share(kafka: KafkaCluster, group: str, targets: Places) -> None:
    _, address = await coordinator_of(kafka, group, GROUP_KEY)
    topics: dict[str, list[AlterShareGroupOffsetsRequestPartition]] = {}
    for (topic, number), offset in sorted(targets.items()):
        topics.setdefault(topic, []).append(AlterShareGroupOffsetsRequestPartition(number, offset))
    request = AlterShareGroupOffsetsRequest(
        group, [AlterShareGroupOffsetsRequestTopic(topic, partitions) for topic, partitions in topics.items()]
    )
    answer = await kafka.ask(ApiKey.ALTER_SHARE_GROUP_OFFSETS, request, address)
    codes = [answer.error_code, *(each.error_code for told in answer.responses for each in told.partitions)]
    refused = next((code for code in codes if code != ErrorCode.NONE), None)
    if refused is not None:
        raise of_code(refused, f"The offsets of {group} were not moved")
