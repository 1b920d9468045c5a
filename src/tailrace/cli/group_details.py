"""Everything the cluster tells about a consumer group, gathered into one value: members, offsets, lag."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, Final

from confluent_kafka import ConsumerGroupTopicPartitions, ConsumerGroupType
from confluent_kafka.admin import AdminClient, ConsumerGroupDescription, OffsetSpec

from tailrace.cli.cluster import Cluster
from tailrace.cli.failure import CommandFailed
from tailrace.cli.group_epochs import GroupEpochs, read_epochs
from tailrace.cli.raw_requests import RawCluster, run
from tailrace.cli.share_groups import ShareGroupDetails, find_share_group
from tailrace.cli.topic_details import Places, list_offsets
from tailrace.cluster.records import ResourceType
from tailrace.coordinator.rebalances import LAST_REBALANCE
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

DEAD_STATES: Final = frozenset({"dead", "unknown"})
"""What a cluster calls a group it has never heard of."""

REBALANCE_ANSWER_MAX_S: Final = 2.0
"""How long the last rebalance is asked for: a listener that wants TLS answers nothing. After it: not told."""

UNKNOWN_REASON: Final = "unknown: none since the broker started"

SECURITY_PROTOCOL: Final = "security.protocol"


@dataclass(frozen=True, slots=True)
class GroupPartition:
    """One partition the group has committed or owns. Offsets and lag are None when there is none."""

    topic: str
    partition: int
    committed_offset: int | None
    end_offset: int | None
    lag: int | None
    member_id: str | None
    client_id: str | None
    host: str | None


@dataclass(frozen=True, slots=True)
class GroupDetails:
    """One group, partitions in order of topic and number."""

    name: str
    state: str
    assignor: str
    coordinator: int
    members: list[dict[str, Any]]
    partitions: list[GroupPartition]
    kind: str
    """The protocol it is of: classic or consumer."""
    epochs: GroupEpochs | None
    """Of a group of the consumer protocol, where they can be asked for."""
    last_rebalance: dict[str, Any] | None
    """`at_ms`, `generation` and `reason`; the numbers are None when there was none since the start. None: not told."""

    @property
    def total_lag(self) -> int:
        """Records committed offsets are behind, over all partitions."""
        return sum(partition.lag or 0 for partition in self.partitions)

    def as_json(self) -> dict[str, Any]:
        """The document of `groups describe --json`."""
        return {
            "group": self.name,
            "state": self.state,
            "type": self.kind,
            "assignor": self.assignor,
            "coordinator": self.coordinator,
            "lag": self.total_lag,
            "last_rebalance": self.last_rebalance,
            "members": self.members,
            "partitions": [asdict(partition) for partition in self.partitions],
            "consumer_protocol": None if self.epochs is None else self.epochs.as_json(),
        }


def describe_group(cluster: Cluster, admin: AdminClient, name: str) -> GroupDetails | ShareGroupDetails:
    """Details of one group. A group nobody has heard of fails the command."""
    described = describe_state(cluster, admin, name)
    committed = committed_offsets(cluster, admin, name)
    state = described.state.name.lower()
    if state in DEAD_STATES and not committed:
        shared = find_share_group(cluster, name)
        if shared is not None:
            return shared
        raise CommandFailed(f"no group {name}; `tailrace groups list` shows the groups there are.")
    owners = {(place.topic, place.partition): member for member in described.members for place in _assigned(member)}
    places = sorted(committed.keys() | owners.keys())
    ends = list_offsets(cluster, admin, places, OffsetSpec.latest())
    return GroupDetails(
        name=name,
        state=state,
        assignor=described.partition_assignor or "",
        coordinator=described.coordinator.id if described.coordinator else -1,
        members=[_member_as_json(member) for member in described.members],
        partitions=[_partition(place, committed, ends, owners.get(place)) for place in places],
        kind=described.type.name.lower(),
        epochs=read_epochs(cluster, name) if described.type is ConsumerGroupType.CONSUMER else None,
        last_rebalance=_last_rebalance(cluster, described, name),
    )


def _last_rebalance(cluster: Cluster, described: ConsumerGroupDescription, name: str) -> dict[str, Any] | None:
    """When and why the group last rebalanced, from a Tailrace that can be asked over plain TCP; else None."""
    at = described.coordinator
    if at is None or SECURITY_PROTOCOL in cluster.properties:
        return None
    request = DescribeConfigsRequest([DescribeConfigsResource(ResourceType.GROUP, name, [LAST_REBALANCE])])

    async def ask(raw: RawCluster) -> Any:
        return await raw.ask(ApiKey.DESCRIBE_CONFIGS, request, (at.host, at.port))

    try:
        [result] = run(cluster.bootstrap_servers, min(cluster.timeout_s, REBALANCE_ANSWER_MAX_S), ask).results
    except CommandFailed:
        return None
    told = [config.value for config in result.configs if config.name == LAST_REBALANCE]
    if not told or told[0] is None:
        return None
    found = json.loads(told[0])
    return found if isinstance(found, dict) else {"at_ms": None, "generation": None, "reason": UNKNOWN_REASON}


def describe_state(cluster: Cluster, admin: AdminClient, name: str) -> ConsumerGroupDescription:
    """The group's state and members, as its coordinator sees them."""
    futures = admin.describe_consumer_groups([name], request_timeout=cluster.timeout_s)
    description = cluster.wait(futures[name], f"cannot describe group {name}")
    assert isinstance(description, ConsumerGroupDescription)
    return description


def committed_offsets(cluster: Cluster, admin: AdminClient, name: str) -> Places:
    """The offset committed in each partition that has one."""
    futures = admin.list_consumer_group_offsets([ConsumerGroupTopicPartitions(name)], request_timeout=cluster.timeout_s)
    result = cluster.wait(futures[name], f"cannot read the offsets of group {name}")
    return {(place.topic, place.partition): place.offset for place in result.topic_partitions if place.offset >= 0}


def _assigned(member: Any) -> list[Any]:  # MemberDescription and TopicPartition carry no types
    return list(member.assignment.topic_partitions) if member.assignment else []


def _partition(place: tuple[str, int], committed: Places, ends: Places, member: Any) -> GroupPartition:
    topic, partition = place
    offset, end = committed.get(place), ends.get(place)
    return GroupPartition(
        topic=topic,
        partition=partition,
        committed_offset=offset,
        end_offset=end,
        lag=None if offset is None or end is None else max(0, end - offset),
        member_id=member.member_id if member else None,
        client_id=member.client_id if member else None,
        host=member.host if member else None,
    )


def _member_as_json(member: Any) -> dict[str, Any]:
    return {
        "member_id": member.member_id,
        "group_instance_id": member.group_instance_id,
        "client_id": member.client_id,
        "host": member.host,
        "partitions": [{"topic": place.topic, "partition": place.partition} for place in _assigned(member)],
    }
