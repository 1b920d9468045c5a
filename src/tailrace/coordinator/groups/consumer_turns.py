"""Groups of the consumer protocol (KIP-848) in the turns of a shard: what the two packages of groups have in common.

An empty group changes its protocol at the first request of the other: its old records get tombstones. A group with
members of one protocol refuses the other's.
Not its business: what is decided about members (`consumer_groups`). Source: Kafka's `GroupMetadataManager`.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.heartbeats import Beat
from tailrace.coordinator.consumer_groups.member import JOINING_EPOCH, ConsumerMember
from tailrace.coordinator.consumer_groups.protocol import ConsumerProtocol
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.groups.records import group_tombstone
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.groups.shard import GroupShard
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatResponse
from tailrace.wire.messages.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse


class ConsumerTurns:
    """The consumer protocol over one shard."""

    __slots__ = ("_protocol", "_shard")

    def __init__(
        self,
        shard: GroupShard,
        settings: GroupSettings,
        clock: Clock,
        image: Callable[[], MetadataImage],
        report: Callable[[str], None],
    ) -> None:
        self._shard = shard
        self._protocol = ConsumerProtocol(settings.consumer, clock, image, _Groups(shard), report)

    def begin_sessions(self) -> None:
        """The shard was loaded: give every member a session timeout to show up."""
        for group in self._shard.groups.values():
            if group.consumer is not None:
                self._protocol.begin_sessions(group.consumer)

    def heartbeat(self, beat: Beat, answer: Pending[ConsumerGroupHeartbeatResponse]) -> Decision | None:
        """Decide one ConsumerGroupHeartbeat. Raises KafkaError."""
        request = beat.request
        group_id = request.group_id
        group = self._shard.find_consumer(group_id)
        if request.member_epoch < JOINING_EPOCH:
            if group is None:
                raise _not_found(group_id)
            return self._protocol.leave(group, request, answer)
        first = []
        if group is None:
            known = self._shard.groups.get(group_id)
            if request.member_epoch != JOINING_EPOCH or (known is not None and known.has_members):
                raise _not_found(group_id)
            if known is not None and known.is_recorded:
                first.append(group_tombstone(group_id))
            group = ConsumerGroup(group_id)
        return self._protocol.heartbeat(group, first, beat, answer)

    def leave(
        self, group: ConsumerGroup, leavers: list[MemberIdentity], answer: Pending[LeaveGroupResponse]
    ) -> Decision | None:
        """Decide a LeaveGroup: to a consumer group that is an administrator's, each answered for itself."""
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

    __slots__ = ("_shard",)

    def __init__(self, shard: GroupShard) -> None:
        self._shard = shard

    def find(self, group_id: str) -> ConsumerGroup | None:
        """The consumer group of that id as it is now."""
        return self._shard.find_consumer(group_id)

    def deadline(self, group_id: str) -> Deadline:
        """A timer that takes the group's turn."""
        return self._shard.rebalance.deadline(group_id)


def _leaving(group: ConsumerGroup, leaver: MemberIdentity) -> ConsumerMember:
    """Who is to go. An instance id alone names its member."""
    if leaver.group_instance_id is None:
        return group.member(leaver.member_id)
    owner_id = group.static_members.get(leaver.group_instance_id)
    if owner_id is None:
        raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
    if leaver.member_id not in ("", owner_id):
        raise KafkaError(ErrorCode.FENCED_INSTANCE_ID)
    return group.members[owner_id]


def _not_found(group_id: str) -> KafkaError:
    return KafkaError(ErrorCode.GROUP_ID_NOT_FOUND, f"Group {group_id} is not a consumer group.")
