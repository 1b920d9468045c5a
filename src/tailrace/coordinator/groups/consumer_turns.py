"""Groups of the consumer protocol (KIP-848) in the turns of a shard: what the two packages of groups have in common.

An empty group changes its protocol at the first request of the other: its old records get tombstones. One with members
changes as `group.consumer.migration.policy` has it: see `migration`.
Not its business: what is decided about members (`consumer_groups`). Source: Kafka's `GroupMetadataManager`.
"""

from __future__ import annotations

from collections.abc import Callable, Container

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.rand import Random
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups.classic_members import ClassicJoin
from tailrace.coordinator.consumer_groups.draft import Draft
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.heartbeats import Beat
from tailrace.coordinator.consumer_groups.member import JOINING_EPOCH, ConsumerMember
from tailrace.coordinator.consumer_groups.protocol import Change, ConsumerProtocol
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.groups.classic_group import refused_join
from tailrace.coordinator.groups.joining import Join
from tailrace.coordinator.groups.migration import downgrade_records, upgrade
from tailrace.coordinator.groups.records import group_tombstone
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.groups.shard import GroupShard
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatResponse
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


class ConsumerTurns:
    """The consumer protocol over one shard."""

    __slots__ = ("_image", "_protocol", "_settings", "_shard")

    def __init__(
        self,
        shard: GroupShard,
        settings: GroupSettings,
        clock: Clock,
        image: Callable[[], MetadataImage],
    ) -> None:
        self._shard = shard
        self._settings = settings
        self._image = image
        groups = _Groups(shard, settings, image)
        self._protocol = ConsumerProtocol(settings.consumer, clock, image, groups, shard.rebalance.journal)

    def begin_sessions(self) -> None:
        """The shard was loaded: give every member a session timeout to show up."""
        for group in self._shard.groups.values():
            if group.consumer is not None:
                self._protocol.begin_sessions(group.group_id)

    def heartbeat(self, beat: Beat, answer: Pending[ConsumerGroupHeartbeatResponse]) -> Decision | None:
        """Decide one ConsumerGroupHeartbeat. Raises KafkaError."""
        request = beat.request
        group_id = request.group_id
        group = self._shard.find_consumer(group_id)
        if request.member_epoch < JOINING_EPOCH:
            if group is None:
                raise _not_found(group_id)
            return self._protocol.leave(group, request, answer)
        if group is not None:
            return self._protocol.heartbeat(group, None, beat, answer)
        if request.member_epoch != JOINING_EPOCH:
            raise _not_found(group_id)
        known = self._shard.groups.get(group_id)
        if known is not None and known.share is not None:
            raise _not_found(group_id)
        if known is not None and known.has_members:
            group, change = upgrade(known, self._settings.consumer, self._image())
        else:
            is_recorded = known is not None and known.is_recorded
            group, change = ConsumerGroup(group_id), Change([group_tombstone(group_id)] * is_recorded, _nothing)
        return self._protocol.heartbeat(group, change, beat, answer)

    def join(self, group: ConsumerGroup, join: Join, random: Random) -> Decision | None:
        """Decide a JoinGroup to a consumer group with members."""
        request, caller = join.request, join.caller
        instance = request.group_instance_id
        member_id = request.member_id or f"{caller.client_id if instance is None else instance}-{random.uuid()}"
        joining = ClassicJoin(request, caller.api_version, member_id, caller.client_id, caller.client_host)
        try:
            return self._protocol.join(group, joining, join.answer)
        except KafkaError as error:
            join.answer.complete(refused_join(error.code))
            return None

    def sync(self, group: ConsumerGroup, request: SyncGroupRequest, answer: Pending[SyncGroupResponse]) -> None:
        """Decide a SyncGroup to a consumer group. Raises KafkaError."""
        self._protocol.sync(group, request, answer)

    def classic_heartbeat(self, group: ConsumerGroup, request: HeartbeatRequest) -> ErrorCode:
        """Decide a Heartbeat to a consumer group. Raises KafkaError."""
        return self._protocol.classic_heartbeat(group, request)

    def leave(
        self, group: ConsumerGroup, leavers: list[MemberIdentity], answer: Pending[LeaveGroupResponse]
    ) -> Decision | None:
        """Decide a LeaveGroup, a classic member's or an administrator's: each leaver is answered for itself."""
        response = LeaveGroupResponse()
        leaving: dict[str, ConsumerMember] = {}
        for leaver in leavers:
            code = ErrorCode.NONE
            try:
                member = _leaving(group, leaver)
                leaving[member.member_id] = member
            except KafkaError as error:
                code = error.code
            response.members.append(MemberResponse(leaver.member_id, leaver.group_instance_id, code))
        if not leaving:
            answer.complete(response)
            return None
        return self._protocol.remove(
            group,
            list(leaving.values()),
            lambda: answer.complete(response),
            lambda code: answer.complete(LeaveGroupResponse(error_code=code)),
        )


class _Groups:
    """The groups of a shard, as the protocol reaches them."""

    __slots__ = ("_image", "_settings", "_shard")

    def __init__(self, shard: GroupShard, settings: GroupSettings, image: Callable[[], MetadataImage]) -> None:
        self._shard = shard
        self._settings = settings
        self._image = image

    def find(self, group_id: str) -> ConsumerGroup | None:
        """The consumer group of that id as it is now."""
        return self._shard.find_consumer(group_id)

    def deadline(self, group_id: str) -> Deadline:
        """A timer that takes the group's turn."""
        return self._shard.rebalance.deadline(group_id)

    def downgrade(self, group: ConsumerGroup, leaving: Container[str]) -> Change | None:
        """The group as its classic members' own when those leave; None while it is to stay a consumer group."""
        if not self._settings.consumer.is_downgrade_enabled or not group.is_all_classic_without(leaving):
            return None
        members = [member for member_id, member in group.members.items() if member_id not in leaving]
        if len(members) > self._settings.group_max_size:
            return None
        records = downgrade_records(members, Draft(group), None, self._image(), self._shard.rebalance.now_ms())
        return Change(records, lambda: self._begin_classic(group.group_id, members))

    def downgrade_with(self, draft: Draft, member: ConsumerMember) -> Change | None:
        """The same, when a static member that is a classic one now takes the place of the last other one."""
        group = draft.group
        replaced = group.static_members.get(member.instance_id or "")
        is_last = replaced is not None and group.members[replaced].classic is None
        members = list(draft.members())
        if (
            not is_last
            or not self._settings.consumer.is_downgrade_enabled
            or any(each.classic is None for each in members)
            or len(members) > self._settings.group_max_size
        ):
            return None
        # Where somebody has not arrived at its assignment, all join again.
        has_arrived = all(each.is_reconciled_to(draft.epoch) for each in members)
        leader = members[0].member_id if has_arrived else None
        records = downgrade_records(members, draft, leader, self._image(), self._shard.rebalance.now_ms())
        return Change(records, lambda: self._begin_classic(group.group_id, members))

    def _begin_classic(self, group_id: str, members: list[ConsumerMember]) -> None:
        """The group is a classic one: its members speak what they spoke, and have their session timeouts."""
        group = self._shard.groups[group_id]
        for member in members:
            assert member.classic is not None
            known = group.members[member.member_id]
            group.change_protocols(known, list(member.classic.protocols))
            known.earlier_generation = member.epoch
            self._shard.rebalance.extend_session(group, known)
        if group.leader is None:
            self._shard.rebalance.begin_leaderless(group)


def _leaving(group: ConsumerGroup, leaver: MemberIdentity) -> ConsumerMember:
    """Who is to go. An instance id alone names its member."""
    member_id, instance_id = leaver.member_id, leaver.group_instance_id
    if not member_id and instance_id is not None:
        member_id = group.static_members.get(instance_id, "")
    return group.find_member(member_id, instance_id)


def _nothing() -> None:
    """Nothing follows the tombstone of a group that had no members."""


def _not_found(group_id: str) -> KafkaError:
    return KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a consumer group.")
