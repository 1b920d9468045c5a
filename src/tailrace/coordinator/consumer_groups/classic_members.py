"""JoinGroup, SyncGroup and Heartbeat of the classic members of a consumer group, decided.

While a group changes from the classic protocol to the consumer protocol, member by member, it has both kinds. A join is
a heartbeat that says everything: the subscription inside it names the topics and what the member owns. The answer makes
everybody a follower, and SyncGroup gives what the coordinator assigned. What a consumer member would be told in its
next heartbeat, a classic one fetches by joining again: it is told so by REBALANCE_IN_PROGRESS.
Source: Kafka's `GroupMetadataManager.classicGroupJoinToConsumerGroup` and its like, KIP-848.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups.draft import Draft
from tailrace.coordinator.consumer_groups.embedded import places_of, read_subscription, write_assignment
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.heartbeats import Surroundings, advance, check_size, replaced
from tailrace.coordinator.consumer_groups.member import ClassicSide, ConsumerMember, MemberState
from tailrace.coordinator.protocol_type import CONSUMER_PROTOCOL_TYPE
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse
from tailrace.wire.primitives import DecodeError

MEMBER_ID_REQUIRED_FROM: Final = 4


class ClassicJoin(NamedTuple):
    """One JoinGroup to a consumer group."""

    request: JoinGroupRequest
    api_version: int
    member_id: str
    """The request's, or the one it was given."""
    client_id: str
    client_host: str

    @property
    def needs_id(self) -> bool:
        """Whether the member must come again with the id it was given, so that it leaves no ghost (KIP-394)."""
        request = self.request
        is_unknown = not request.member_id and request.group_instance_id is None
        return is_unknown and self.api_version >= MEMBER_ID_REQUIRED_FROM


def join(around: Surroundings, draft: Draft, joining: ClassicJoin) -> ConsumerMember:
    """Decide a join; the member as it will be. Raises KafkaError, and then the draft is void."""
    check_join(around, draft, joining)
    known = _find(draft, joining)
    request = joining.request
    try:
        subscription = read_subscription(request.protocols[0].metadata)
    except DecodeError as error:
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL, f"The subscription cannot be read: {error}") from error
    asked_ms = request.rebalance_timeout_ms
    member = known._replace(
        instance_id=known.instance_id if request.group_instance_id is None else request.group_instance_id,
        rack_id=known.rack_id if subscription.rack_id is None else subscription.rack_id,
        client_id=joining.client_id,
        client_host=joining.client_host,
        subscribed_topics=tuple(sorted(set(subscription.topics))),
        subscribed_regex="",
        server_assignor=None,
        rebalance_timeout_ms=request.session_timeout_ms if asked_ms == -1 else asked_ms,  # v0 has no such field
        classic=ClassicSide(
            request.session_timeout_ms, tuple((each.name, bytes(each.metadata)) for each in request.protocols)
        ),
    )
    return advance(around, draft, known, member, places_of(subscription.owned_partitions, around.image))


def check_join(around: Surroundings, draft: Draft, joining: ClassicJoin) -> None:
    """Raise KafkaError when there is no room, or no protocol that every classic member speaks."""
    request = joining.request
    check_size(around, draft, joining.member_id)
    if not draft.group.supports(request.protocol_type, (each.name for each in request.protocols)):
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)


def _find(draft: Draft, joining: ClassicJoin) -> ConsumerMember:
    group, instance_id = draft.group, joining.request.group_instance_id
    if instance_id is None:
        if joining.member_id not in group.members:
            draft.reasons.append(f"{joining.member_id} joined by the classic protocol")
        return group.members.get(joining.member_id) or ConsumerMember(joining.member_id)
    owner_id = group.static_members.get(instance_id)
    if joining.request.member_id:
        return group.find_member(joining.member_id, instance_id)
    if owner_id is not None:
        return replaced(draft, group.members[owner_id], joining.member_id)
    draft.reasons.append(f"{joining.member_id} joined as {instance_id} by the classic protocol")
    return ConsumerMember(joining.member_id, instance_id)


def joined(member: ConsumerMember) -> JoinGroupResponse:
    """What a member is told: its epoch is the generation, and it leads nothing."""
    assert member.classic is not None
    return JoinGroupResponse(
        generation_id=member.epoch,
        protocol_type=CONSUMER_PROTOCOL_TYPE,
        protocol_name=member.classic.protocols[0][0],
        member_id=member.member_id,
    )


def find_classic(group: ConsumerGroup, request: SyncGroupRequest | HeartbeatRequest) -> ConsumerMember:
    """The classic member that a request of the present generation is of. Raises KafkaError."""
    member = group.find_member(request.member_id, request.group_instance_id)
    if member.classic is None:
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, "The member does not use the classic protocol.")
    if member.epoch != request.generation_id:
        raise KafkaError(ErrorCode.ILLEGAL_GENERATION)
    return member


def check_sync(member: ConsumerMember, request: SyncGroupRequest) -> None:
    """Raise INCONSISTENT_GROUP_PROTOCOL when the member speaks of another protocol than it was told."""
    told = joined(member)
    for asked, chosen in ((request.protocol_type, told.protocol_type), (request.protocol_name, told.protocol_name)):
        if asked is not None and asked != chosen:
            raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)


def synced(member: ConsumerMember, request: SyncGroupRequest, image: MetadataImage) -> SyncGroupResponse:
    """What a member is given."""
    assert member.classic is not None
    return SyncGroupResponse(
        protocol_type=request.protocol_type,
        protocol_name=request.protocol_name,
        assignment=write_assignment(member.assigned, image, member.classic.protocols[0][1]),
    )


def is_behind(group: ConsumerGroup, member: ConsumerMember) -> bool:
    """Whether a rebalance began that the member has not joined; while it gives partitions up it has."""
    return group.epoch > member.epoch and member.state is not MemberState.UNREVOKED_PARTITIONS


def must_join(group: ConsumerGroup, member: ConsumerMember) -> bool:
    """Whether joining again would bring the member further: a newer epoch, or partitions that are free by now."""
    if member.epoch < group.epoch or member.state is MemberState.UNREVOKED_PARTITIONS:
        return True
    return member.state is MemberState.UNRELEASED_PARTITIONS and not group.is_waiting(member)
