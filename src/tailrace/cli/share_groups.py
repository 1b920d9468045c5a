"""What the cluster knows of share groups, and moving where they begin: librdkafka does not know them yet.

A share group has no committed offsets: each partition has the offset up to which all is done with, and a lag that
leaves out what is done with beyond. Several members may consume one partition. Asked over plain TCP: of a cluster
with TLS or SASL share groups are not shown. Source: KIP-932, Kafka's ShareGroupCommand.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Final

from tailrace.base.errors import ErrorCode
from tailrace.cli.cluster import Cluster
from tailrace.cli.failure import CommandFailed
from tailrace.cli.raw_requests import GROUP, RawCluster, refusal, run
from tailrace.client.plain_requests import BrokerAddress
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestPartition,
    AlterShareGroupOffsetsRequestTopic,
)
from tailrace.wire.messages.describe_share_group_offsets import (
    DescribeShareGroupOffsetsRequest,
    DescribeShareGroupOffsetsRequestGroup,
)
from tailrace.wire.messages.list_groups import ListGroupsRequest
from tailrace.wire.messages.share_group_describe import ShareGroupDescribeRequest

_SHARE: Final = "share"


@dataclass(frozen=True, slots=True)
class SharePartition:
    """One partition the group has a state of. Start offset and lag are None while nobody knows them."""

    topic: str
    partition: int
    start_offset: int | None
    lag: int | None
    members: list[str]
    """Ids of the members that may consume it."""


@dataclass(frozen=True, slots=True)
class ShareGroupDetails:
    """One share group, partitions in order of topic and number."""

    name: str
    state: str
    assignor: str
    coordinator: int
    members: list[dict[str, Any]]
    partitions: list[SharePartition]

    @property
    def kind(self) -> str:
        """The protocol it is of."""
        return _SHARE

    @property
    def total_lag(self) -> int:
        """Records that are not done with, over all partitions."""
        return sum(partition.lag or 0 for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """The document of `groups describe --json`."""
        return {
            "group": self.name,
            "type": self.kind,
            "state": self.state,
            "assignor": self.assignor,
            "coordinator": self.coordinator,
            "lag": self.total_lag,
            "members": self.members,
            "partitions": [asdict(partition) for partition in self.partitions],
        }


def find_share_group(cluster: Cluster, name: str) -> ShareGroupDetails | None:
    """Details of a share group; None when there is none of that name, or the cluster cannot be asked."""
    if _is_secured(cluster):
        return None
    try:
        return run(cluster.bootstrap_servers, cluster.timeout_s, partial(_describe, name))
    except CommandFailed:
        return None  # a cluster that has never heard of share groups


def list_share_groups(cluster: Cluster) -> list[tuple[str, str]]:
    """Name and state of every share group; librdkafka leaves them out of what it lists."""
    if _is_secured(cluster):
        return []
    return run(cluster.bootstrap_servers, cluster.timeout_s, _list)


def _is_secured(cluster: Cluster) -> bool:
    return cluster.properties.get("security.protocol", "plaintext").lower() != "plaintext"


def alter_start_offsets(cluster: Cluster, name: str, starts: Sequence[tuple[str, int, int]]) -> None:
    """Have a share group without members begin at (topic, partition, offset). A refusal ends the command."""
    run(cluster.bootstrap_servers, cluster.timeout_s, partial(_alter, name, starts))


async def _list(cluster: RawCluster) -> list[tuple[str, str]]:
    found = []
    for broker in await cluster.brokers():
        answer = await cluster.ask(ApiKey.LIST_GROUPS, ListGroupsRequest(), broker)
        found += [(each.group_id, each.group_state) for each in answer.groups if each.group_type.lower() == _SHARE]
    return found


async def _describe(name: str, cluster: RawCluster) -> ShareGroupDetails | None:
    coordinator = await cluster.find_coordinator(name, GROUP)
    broker = coordinator.host, coordinator.port
    answer = await cluster.ask(ApiKey.SHARE_GROUP_DESCRIBE, ShareGroupDescribeRequest([name]), broker)
    (group,) = answer.groups
    if group.error_code == ErrorCode.GROUP_ID_NOT_FOUND:
        return None
    if group.error_code:
        raise refusal(group.error_code, f"group {name}")
    owners: dict[tuple[str, int], list[str]] = {}
    for member in group.members:
        for topic in member.assignment.topic_partitions:
            for index in topic.partitions:
                owners.setdefault((topic.topic_name, index), []).append(member.member_id)
    return ShareGroupDetails(
        name=name,
        state=group.group_state.lower(),
        assignor=group.assignor_name,
        coordinator=coordinator.node_id,
        members=[_member_as_json(member) for member in group.members],
        partitions=await _partitions(cluster, broker, name, owners),
    )


async def _partitions(
    cluster: RawCluster, broker: BrokerAddress, name: str, owners: Mapping[tuple[str, int], list[str]]
) -> list[SharePartition]:
    asked = DescribeShareGroupOffsetsRequestGroup(name)
    asked.topics = None
    answer = await cluster.ask(ApiKey.DESCRIBE_SHARE_GROUP_OFFSETS, DescribeShareGroupOffsetsRequest([asked]), broker)
    (group,) = answer.groups
    if group.error_code:
        raise refusal(group.error_code, f"offsets of group {name}")
    found = [
        SharePartition(
            topic.topic_name,
            each.partition_index,
            each.start_offset if each.start_offset >= 0 else None,
            each.lag if each.lag >= 0 else None,
            sorted(owners.get((topic.topic_name, each.partition_index), [])),
        )
        for topic in group.topics
        for each in topic.partitions
    ]
    return sorted(found, key=lambda each: (each.topic, each.partition))


def _member_as_json(member: Any) -> dict[str, Any]:
    return {
        "member_id": member.member_id,
        "client_id": member.client_id,
        "host": member.client_host,
        "partitions": [
            {"topic": topic.topic_name, "partition": index}
            for topic in member.assignment.topic_partitions
            for index in topic.partitions
        ],
    }


async def _alter(name: str, starts: Sequence[tuple[str, int, int]], cluster: RawCluster) -> None:
    coordinator = await cluster.find_coordinator(name, GROUP)
    by_topic: dict[str, list[AlterShareGroupOffsetsRequestPartition]] = {}
    for topic, index, offset in starts:
        by_topic.setdefault(topic, []).append(AlterShareGroupOffsetsRequestPartition(index, offset))
    request = AlterShareGroupOffsetsRequest(
        name, [AlterShareGroupOffsetsRequestTopic(topic, partitions) for topic, partitions in by_topic.items()]
    )
    broker = coordinator.host, coordinator.port
    answer = await cluster.ask(ApiKey.ALTER_SHARE_GROUP_OFFSETS, request, broker)
    if answer.error_code:
        raise refusal(answer.error_code, f"cannot move the start offsets of group {name}")
    for told in answer.responses:
        for each in told.partitions:
            if each.error_code:
                raise refusal(each.error_code, f"cannot move {told.topic_name}-{each.partition_index} of group {name}")
