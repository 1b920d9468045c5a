"""One classic group: its members, its state, and the rules that only need those.

    Empty ──join──> PreparingRebalance ──all joined──> CompletingRebalance ──leader's sync──> Stable
      ^                 │    ^                               │                                  │
      └──nobody left────┘    └──────── join, leave, expiry, late sync ────────────────────────┘        any ──> Dead

Durable: protocol type, generation, protocol, leader, and of each member its identity, timeouts, subscription and
assignment, as of the last record. The rest (who waits in a join, pending ids, timers) is lost with the process, and
clients cope by joining again. Invariant: `waiting_joins` counts the members with a parked join, and `_spoken` counts,
for each protocol, the members that speak it.
Not its business: when anything happens, records, answers' transport. Source: Kafka's `ClassicGroup`, KIP-62, 345, 394.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.groups.member import Member, Protocols, most_wanted_protocol
from tailrace.coordinator.groups.offsets import Offsets
from tailrace.coordinator.groups.pending_offsets import PendingOffsets
from tailrace.coordinator.groups.subscription import subscribed_topics
from tailrace.coordinator.protocol_type import CONSUMER_PROTOCOL_TYPE
from tailrace.wire.group_records.group_metadata import GroupMetadataValue
from tailrace.wire.messages.join_group import JoinGroupResponse, JoinGroupResponseMember
from tailrace.wire.messages.sync_group import SyncGroupResponse

if TYPE_CHECKING:
    from tailrace.coordinator.consumer_groups.group import ConsumerGroup
    from tailrace.coordinator.share_groups.group import ShareGroup

NO_MEMBER_ID: Final = ""


class GroupState(StrEnum):
    """States of a classic group, spelled as DescribeGroups does."""

    EMPTY = "Empty"
    PREPARING_REBALANCE = "PreparingRebalance"
    COMPLETING_REBALANCE = "CompletingRebalance"
    STABLE = "Stable"
    DEAD = "Dead"


class ClassicGroup:
    """State of one group. Changed by the operations of `rebalance`, `joining`, `membership` and by replay."""

    __slots__ = (
        "_spoken",
        "_subscribed",
        "consumer",
        "generation",
        "group_id",
        "is_recorded",
        "join_deadline",
        "leader",
        "members",
        "new_member_added",
        "offsets",
        "pending_members",
        "pending_offsets",
        "pending_syncs",
        "protocol",
        "protocol_type",
        "previous_state",
        "rebalance_reason",
        "share",
        "staged_member",
        "state",
        "state_timestamp_ms",
        "static_members",
        "sync_deadline",
        "waiting_joins",
    )

    def __init__(self, group_id: str, join_deadline: Deadline, sync_deadline: Deadline) -> None:
        self.group_id = group_id
        self.state = GroupState.EMPTY
        self.previous_state = GroupState.EMPTY
        """A rebalance that came from Empty is the initial one: only its timer ends it."""
        self.protocol_type: str | None = None
        self.protocol: str | None = None
        self.generation = 0
        self.leader: str | None = None
        self.state_timestamp_ms = -1
        self.members: dict[str, Member] = {}
        self.static_members: dict[str, str] = {}
        """group.instance.id -> member id."""
        self.pending_members: dict[str, Deadline] = {}
        """Ids given out by MEMBER_ID_REQUIRED that have not come back."""
        self.pending_syncs: set[str] = set()
        """Members of this generation whose SyncGroup has not come."""
        self.new_member_added = False
        """Whether a member came since the initial rebalance's wait was last begun or extended."""
        self.staged_member: Member | None = None
        """A static member under its next id, until the record that says so is committed."""
        self.waiting_joins = 0
        self.is_recorded = False
        """Whether the log holds a record of the group itself."""
        self.rebalance_reason = ""
        self.consumer: ConsumerGroup | None = None
        """The group under the consumer protocol (KIP-848). Where it is, only the offsets here are the group's."""
        self.share: ShareGroup | None = None
        """The share group of this id (KIP-932). Where it is, nothing else here is the group's."""
        self.offsets = Offsets()
        self.pending_offsets = PendingOffsets()
        self.join_deadline = join_deadline
        self.sync_deadline = sync_deadline
        self._spoken: Counter[str] = Counter()
        self._subscribed: frozenset[str] | None = None

    # Members

    def add(self, member: Member, protocol_type: str) -> None:
        """Take in a member. Asserts what `supports` has checked."""
        assert member.member_id not in self.members
        if not self.members:
            self.protocol_type = protocol_type
        assert self.protocol_type == protocol_type
        self.members[member.member_id] = member
        if member.group_instance_id is not None:
            assert member.group_instance_id not in self.static_members
            self.static_members[member.group_instance_id] = member.member_id
        self._spoken.update(name for name, _ in member.protocols)
        if self.leader is None:
            self.leader = member.member_id
        pending = self.pending_members.pop(member.member_id, None)
        if pending is not None:
            pending.clear()

    def remove(self, member_id: str) -> None:
        """Forget a member, telling its parked requests UNKNOWN_MEMBER_ID; another may become the leader."""
        member = self.members.pop(member_id)
        self.answer_join(member, refused_join(ErrorCode.UNKNOWN_MEMBER_ID))
        self.answer_sync(member, SyncGroupResponse(error_code=ErrorCode.UNKNOWN_MEMBER_ID))
        if member.session is not None:
            member.session.clear()
        if member.group_instance_id is not None:
            del self.static_members[member.group_instance_id]
        self._forget_protocols(member)
        self.pending_syncs.discard(member_id)
        if self.leader == member_id:
            self.leader = next(iter(self.members), None)

    def remove_pending(self, member_id: str) -> None:
        """Forget an id that was given out and has not come back."""
        self.pending_members.pop(member_id).clear()

    def change_protocols(self, member: Member, protocols: Protocols) -> None:
        """Replace what a member speaks."""
        self._forget_protocols(member)
        member.protocols = protocols
        self._spoken.update(name for name, _ in protocols)

    def replace_static(self, old_member_id: str, member: Member) -> None:
        """Put `member` in the place of the member with the same instance id, which is fenced (KIP-345)."""
        old = self.members[old_member_id]
        assert member.group_instance_id is not None and old.group_instance_id == member.group_instance_id
        self._fence(old)
        self._forget_protocols(old)
        self._spoken.update(name for name, _ in member.protocols)
        self.members = {other.member_id: other for other in self.members_with(member)}
        self.static_members[member.group_instance_id] = member.member_id
        if self.leader == old_member_id:
            self.leader = member.member_id

    def members_with(self, replacing: Member) -> list[Member]:
        """All members, `replacing` in the place of the one with its instance id."""
        instance = replacing.group_instance_id
        return [replacing if other.group_instance_id == instance else other for other in self.members.values()]

    def _fence(self, member: Member) -> None:
        self.answer_join(member, refused_join(ErrorCode.FENCED_INSTANCE_ID, member.member_id))
        self.answer_sync(member, SyncGroupResponse(error_code=ErrorCode.FENCED_INSTANCE_ID))
        self.pending_syncs.discard(member.member_id)
        if member.session is not None:
            member.session.clear()

    def validate_member(self, member_id: str, group_instance_id: str | None) -> Member:
        """The member of that id. Raises UNKNOWN_MEMBER_ID, or FENCED_INSTANCE_ID when its instance id moved on."""
        if group_instance_id is not None:
            owner = self.static_members.get(group_instance_id)
            if owner is None:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
            if owner != member_id:
                raise KafkaError(ErrorCode.FENCED_INSTANCE_ID)
        member = self.members.get(member_id)
        if member is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
        return member

    def validate_generation(self, member: Member, generation: int) -> None:
        """Raises ILLEGAL_GENERATION when it is not the present one, nor what the member is to leave behind."""
        if generation == self.generation:
            return
        is_leaving_it = self.state is GroupState.PREPARING_REBALANCE and generation >= 0
        if not (is_leaving_it and generation == member.earlier_generation):
            raise KafkaError(ErrorCode.ILLEGAL_GENERATION)

    def accepts(self, member_id: str, max_size: int) -> bool:
        """Whether group.max.size leaves room for a join of `member_id`.

        While members come together the parked joins are counted, so that a lowered limit turns the last ones away.
        """
        member = self.members.get(member_id)
        if self.state in (GroupState.EMPTY, GroupState.DEAD):
            return True
        if self.state is GroupState.PREPARING_REBALANCE:
            return (member is not None and member.join_answer is not None) or self.waiting_joins < max_size
        return member is not None or len(self.members) < max_size

    # Protocols

    def supports(self, protocol_type: str, protocols: Protocols) -> bool:
        """Whether a member that speaks these can be one of the group: some protocol must be everybody's."""
        if self.state is GroupState.EMPTY:
            return protocol_type != "" and len(protocols) > 0
        if not self.members:
            return protocol_type == self.protocol_type and len(protocols) > 0
        count = len(self.members)
        return self.protocol_type == protocol_type and any(self._spoken[name] == count for name, _ in protocols)

    def is_subscribed(self, topic: str) -> bool:
        """Whether a member consumes `topic`. A consumer group that cannot be understood consumes everything."""
        if self.consumer is not None:
            return self.consumer.is_subscribed(topic)
        if self.protocol_type != CONSUMER_PROTOCOL_TYPE:
            return False
        return self._subscribed is None or topic in self._subscribed

    @property
    def subscription_is_known(self) -> bool:
        """Whether the topics of every member could be read."""
        return self._subscribed is not None

    def _forget_protocols(self, member: Member) -> None:
        self._spoken.subtract(name for name, _ in member.protocols)

    # Phases

    @property
    def rebalance_timeout_ms(self) -> int:
        """The longest any member may take to come back."""
        return max((member.rebalance_timeout_ms for member in self.members.values()), default=0)

    @property
    def all_joined(self) -> bool:
        """Whether nobody is missing from the join, pending ids included."""
        return self.waiting_joins == len(self.members) and not self.pending_members

    @property
    def has_members(self) -> bool:
        """Whether anybody is in the group, under any protocol; a join that is not over counts."""
        modern = self.consumer or self.share
        return self.state is not GroupState.EMPTY or (modern is not None and bool(modern.members))

    @property
    def is_void(self) -> bool:
        """Whether neither the log nor any client knows of it."""
        return not (
            self.consumer
            or self.share
            or self.is_recorded
            or self.offsets
            or self.pending_offsets
            or self.members
            or self.pending_members
        )

    def move_to(self, state: GroupState, now_ms: int) -> None:
        """Enter `state`."""
        self.previous_state = self.state
        self.state = state
        self.state_timestamp_ms = now_ms

    def start_generation(self, now_ms: int) -> None:
        """The join is over: the next generation, with the protocol its members voted for."""
        assert self.members
        self.generation += 1
        self.protocol = most_wanted_protocol([member.protocols for member in self.members.values()])
        self.refresh_subscription()
        self.pending_syncs = set(self.members)
        self.move_to(GroupState.COMPLETING_REBALANCE, now_ms)

    def refresh_subscription(self) -> None:
        """Read the members' topics again."""
        if self.protocol_type == CONSUMER_PROTOCOL_TYPE:
            self._subscribed = subscribed_topics(member.metadata(self.protocol) for member in self.members.values())
        else:
            self._subscribed = None

    def elect_joined_leader(self) -> bool:
        """Give the lead to a member that is in the join, the present leader by preference; False: nobody is."""
        if self.leader is not None and self.members[self.leader].join_answer is not None:
            return True
        for member in self.members.values():
            if member.join_answer is not None:
                self.leader = member.member_id
                return True
        return False

    # Parked requests

    def park_join(self, member: Member, answer: Pending[JoinGroupResponse]) -> None:
        """Let a join wait. One that the same member left waiting is told to come again."""
        self.answer_join(member, refused_join(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))
        member.join_answer = answer
        self.waiting_joins += 1

    def answer_join(self, member: Member, response: JoinGroupResponse) -> None:
        """Answer the parked join, if there is one."""
        answer, member.join_answer = member.join_answer, None
        if answer is not None:
            self.waiting_joins -= 1
            answer.complete(response)

    def park_sync(self, member: Member, answer: Pending[SyncGroupResponse]) -> None:
        """Let a sync wait. One that the same member left waiting is told to join again."""
        self.answer_sync(member, SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS))
        member.sync_answer = answer

    def answer_sync(self, member: Member, response: SyncGroupResponse) -> bool:
        """Answer the parked sync; False when there is none."""
        answer, member.sync_answer = member.sync_answer, None
        if answer is None:
            return False
        answer.complete(response)
        return True

    # Answers

    def joined(self, member: Member) -> JoinGroupResponse:
        """What a member of this generation is told; the leader hears everybody's subscription."""
        return JoinGroupResponse(
            generation_id=self.generation,
            protocol_type=self.protocol_type,
            protocol_name=self.protocol,
            leader=self.leader or NO_MEMBER_ID,
            member_id=member.member_id,
            members=self.subscriptions() if member.member_id == self.leader else [],
        )

    def subscriptions(self) -> list[JoinGroupResponseMember]:
        """Every member's subscription for the chosen protocol."""
        return [member.joined(self.protocol) for member in self.members.values()]

    def synced(self, member: Member) -> SyncGroupResponse:
        """What a member of a stable group is given."""
        return SyncGroupResponse(
            protocol_type=self.protocol_type, protocol_name=self.protocol, assignment=member.assignment
        )

    # Log

    def to_record(self, now_ms: int, members: Iterable[Member], assignments: dict[str, bytes]) -> GroupMetadataValue:
        """The group's record as it is to be: these members with these assignments, and the present leader.

        The leader is named by its place: when it is replaced among `members`, its successor leads.
        """
        recorded = [member.to_record(self.protocol, assignments.get(member.member_id, b"")) for member in members]
        leader = next(
            (new.member_id for old, new in zip(self.members, recorded, strict=True) if old == self.leader), None
        )
        return GroupMetadataValue(
            protocol_type=self.protocol_type or "",
            generation=self.generation,
            protocol=self.protocol,
            leader=leader,
            current_state_timestamp=now_ms,
            members=recorded,
        )

    def durable(self) -> GroupMetadataValue:
        """The record that would restore the group as it stands."""
        assignments = {member.member_id: member.assignment for member in self.members.values()}
        return self.to_record(self.state_timestamp_ms, self.members.values(), assignments)

    def replay(self, value: GroupMetadataValue) -> None:
        """Become what the record says.

        A member that is here already keeps its timer, parked requests and protocols; one that is not in the record has
        been replaced and is fenced. One without a timer was read from an earlier record: this one knows better.
        """
        self.is_recorded = True
        self.protocol_type = value.protocol_type or None
        self.generation = value.generation
        self.protocol = value.protocol
        self.leader = value.leader or None
        known = {member_id: member for member_id, member in self.members.items() if member.session is not None}
        self.members = {}
        if self.staged_member is not None:
            known[self.staged_member.member_id] = self.staged_member
        for recorded in value.members:
            member = known.pop(recorded.member_id, None) or Member.from_record(recorded, value.protocol or "")
            member.assignment = recorded.assignment
            self.members[member.member_id] = member
        for replaced in known.values():
            self._fence(replaced)
        members = self.members.values()
        self._spoken = Counter(name for member in members for name, _ in member.protocols)
        self.static_members = {
            member.group_instance_id: member.member_id for member in members if member.group_instance_id is not None
        }
        self.refresh_subscription()
        self.move_to(GroupState.STABLE if self.members else GroupState.EMPTY, value.current_state_timestamp)


def refused_join(code: ErrorCode, member_id: str = NO_MEMBER_ID) -> JoinGroupResponse:
    """A join's answer with an error."""
    return JoinGroupResponse(error_code=code, protocol_name=None, member_id=member_id)
