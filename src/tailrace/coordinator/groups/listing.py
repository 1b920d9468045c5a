"""DescribeGroups and ListGroups: what people see of groups. Source: Kafka's `GroupMetadataManager`, KIP-518, 848."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.groups.classic_group import ClassicGroup, GroupState
from tailrace.coordinator.protocol_type import CONSUMER_PROTOCOL_TYPE
from tailrace.wire.messages.describe_groups import DescribedGroup
from tailrace.wire.messages.list_groups import ListedGroup

CLASSIC: Final = "classic"
CONSUMER: Final = "consumer"
SHARE: Final = "share"
_NOT_FOUND_FROM: Final = 6


def describe(group_id: str, group: ClassicGroup | None, api_version: int) -> DescribedGroup:
    """One group as DescribeGroups shows it; one that does not exist is Dead, from v6 on an error (KIP-1043)."""
    if group is None or group.consumer is not None or group.share is not None:
        described = DescribedGroup(group_id=group_id, group_state=GroupState.DEAD)
        if api_version >= _NOT_FOUND_FROM:
            described.error_code = ErrorCode.GROUP_ID_NOT_FOUND
            described.error_message = f"Group {group_id} {'not found' if group is None else 'is not a classic group'}."
        return described
    protocol = group.protocol if group.state is GroupState.STABLE else None
    return DescribedGroup(
        group_id=group_id,
        group_state=group.state,
        protocol_type=group.protocol_type or "",
        protocol_data=protocol or "",
        members=[member.described(protocol) for member in group.members.values()],
    )


def refused_description(group_id: str, code: ErrorCode) -> DescribedGroup:
    """One group whose coordinator cannot say."""
    return DescribedGroup(error_code=code, group_id=group_id)


def matching(groups: Iterable[ClassicGroup], states: list[str], types: list[str]) -> list[ListedGroup]:
    """The groups in one of `states` and of one of `types`, whatever the case; an empty list is no filter."""
    wanted_states = {state.lower() for state in states}
    wanted_types = {type_.lower() for type_ in types}
    listed = []
    for group in groups:
        shown = _listed(group)
        if wanted_states and shown.group_state.lower() not in wanted_states:
            continue
        if not wanted_types or shown.group_type in wanted_types:
            listed.append(shown)
    return listed


def _listed(group: ClassicGroup) -> ListedGroup:
    if group.consumer is not None:
        return ListedGroup(group.group_id, CONSUMER_PROTOCOL_TYPE, group.consumer.state, CONSUMER)
    if group.share is not None:
        return ListedGroup(group.group_id, SHARE, group.share.state, SHARE)
    return ListedGroup(group.group_id, group.protocol_type or "", group.state, CLASSIC)
