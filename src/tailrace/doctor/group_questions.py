"""What groups have committed, and how that lies to what there is to read. Reads only.

ListGroups      of every broker: it lists those that it coordinates
OffsetFetch     of that broker
ListOffsets     for the time LATE_MS ago: a group whose next record is older is that late, however few records
"""

from __future__ import annotations

from typing import Any, Final

from tailrace.base.errors import ErrorCode
from tailrace.client.cluster_questions import Asks
from tailrace.client.plain_requests import BrokerAddress
from tailrace.doctor.facts import ClusterFacts, GroupFacts, GroupPosition, Place
from tailrace.doctor.limits import GROUPS_MAX, LATE_MS
from tailrace.doctor.questions import ask_offsets
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.list_groups import ListGroupsRequest
from tailrace.wire.messages.metadata import MetadataRequest
from tailrace.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup

_KINDS: Final = ("", "classic", "consumer")
"""Types of groups that commit offsets; share groups and streams groups are described by their own tools."""

Committed = list[tuple[str, int, int]]
"""(topic, partition, offset)."""


async def ask_groups(asks: Asks, facts: ClusterFacts) -> None:
    """Every group with what it has committed, into `facts`. Raises TailraceError."""
    metadata = await asks.ask(ApiKey.METADATA, MetadataRequest(None, allow_auto_topic_creation=False))
    names = {topic.topic_id: topic.name for topic in metadata.topics}
    listed: list[tuple[str, str, BrokerAddress]] = []
    for broker in facts.state.brokers:
        if not broker.host or broker.is_fenced or broker.trouble:
            continue
        address = broker.host, broker.port
        answer = await asks.ask(ApiKey.LIST_GROUPS, ListGroupsRequest([], []), address)
        listed += [
            (each.group_id, each.group_state, address)
            for each in answer.groups
            if each.group_type.lower() in _KINDS and each.protocol_type in ("", "consumer")
        ]
    listed.sort()
    if len(listed) > GROUPS_MAX:
        facts.untold.append(f"groups: {len(listed) - GROUPS_MAX:,} beyond the first {GROUPS_MAX:,} by name")
    found = [
        (group, state, await _committed(asks, address, group, names)) for group, state, address in listed[:GROUPS_MAX]
    ]
    late = await _late_offsets(asks, facts, found)
    facts.groups = [
        GroupFacts(group, state, [_position(facts, late, each) for each in committed])
        for group, state, committed in found
    ]


async def _committed(asks: Asks, address: BrokerAddress, group: str, names: dict[Any, str]) -> Committed:
    request = OffsetFetchRequest(group, None, [OffsetFetchRequestGroup(group, None, -1, None)])
    answer = await asks.ask(ApiKey.OFFSET_FETCH, request, address)
    topics = [topic for each in answer.groups or () for topic in each.topics or ()] or answer.topics or ()
    return [
        (topic.name or names.get(topic.topic_id, ""), each.partition_index, each.committed_offset)
        for topic in topics
        for each in topic.partitions
        if each.error_code == ErrorCode.NONE and each.committed_offset >= 0
    ]


async def _late_offsets(asks: Asks, facts: ClusterFacts, found: list[tuple[str, str, Committed]]) -> dict[Place, int]:
    """Of each partition that somebody is behind in: the first record younger than LATE_MS, its end where none is."""
    behind = {
        (topic, index)
        for _, _, committed in found
        for topic, index, offset in committed
        if offset < facts.ends.get((topic, index), 0)
    }
    if not behind:
        return {}
    offsets = await ask_offsets(asks, facts.state, sorted(behind), facts.now_ms - LATE_MS)
    return {place: offset if offset >= 0 else facts.ends[place] for place, (offset, _) in offsets.items()}


def _position(facts: ClusterFacts, late: dict[Place, int], committed: tuple[str, int, int]) -> GroupPosition:
    topic, index, offset = committed
    place = topic, index
    return GroupPosition(topic, index, offset, facts.log_starts.get(place), facts.ends.get(place), late.get(place))
