"""One consumer group: its epochs, its members, and who owns what.

    Empty ──first member──> Assigning ──target computed──> Reconciling ──everybody at it──> Stable

    group epoch       raised whenever members, subscriptions or topics change
    assignment epoch  the group epoch that the target assignment was computed for
    member epoch      the assignment epoch that a member has come to

Durable: all of it, except for timers, `needs_refresh` and `pace`. Changed by `replay` alone.
Invariant: a partition has one owner at most, the member that has it assigned or has yet to give it up.
Source: Kafka's `ConsumerGroup`, KIP-848.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable
from enum import StrEnum

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.coordinator.consumer_groups.member import (
    ClassicSide,
    ConsumerMember,
    MemberState,
    Place,
    most_wanted_assignor,
)
from tailrace.coordinator.consumer_groups.pace import Pace
from tailrace.coordinator.consumer_groups.records import (
    ConsumerEntry,
    group_tombstones,
    member_tombstones,
    regex_tombstone,
)
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.protocol_type import CONSUMER_PROTOCOL_TYPE
from tailrace.wire.group_records.consumer_group_current_member_assignment import (
    ConsumerGroupCurrentMemberAssignmentKey,
    ConsumerGroupCurrentMemberAssignmentValue,
    TopicPartitions,
)
from tailrace.wire.group_records.consumer_group_member_metadata import (
    ConsumerGroupMemberMetadataKey,
    ConsumerGroupMemberMetadataValue,
)
from tailrace.wire.group_records.consumer_group_metadata import ConsumerGroupMetadataValue
from tailrace.wire.group_records.consumer_group_regular_expression import (
    ConsumerGroupRegularExpressionKey,
    ConsumerGroupRegularExpressionValue,
)
from tailrace.wire.group_records.consumer_group_target_assignment_member import (
    ConsumerGroupTargetAssignmentMemberKey,
    ConsumerGroupTargetAssignmentMemberValue,
)
from tailrace.wire.group_records.consumer_group_target_assignment_metadata import (
    ConsumerGroupTargetAssignmentMetadataKey,
    ConsumerGroupTargetAssignmentMetadataValue,
)

NOTHING: frozenset[Place] = frozenset()


class ConsumerGroupState(StrEnum):
    """States of a consumer group, spelled as ConsumerGroupDescribe does."""

    EMPTY = "Empty"
    ASSIGNING = "Assigning"
    RECONCILING = "Reconciling"
    STABLE = "Stable"
    DEAD = "Dead"


class ConsumerGroup:
    """State of one group."""

    __slots__ = (
        "epoch",
        "group_id",
        "members",
        "metadata_hash",
        "needs_refresh",
        "owners",
        "pace",
        "rebalance_deadlines",
        "regexes",
        "sessions",
        "static_members",
        "sync_deadlines",
        "target_epoch",
        "targets",
    )

    def __init__(self, group_id: str) -> None:
        self.group_id = group_id
        self.epoch = 0
        self.metadata_hash = 0
        self.target_epoch = 0
        self.members: dict[str, ConsumerMember] = {}
        self.static_members: dict[str, str] = {}
        """group.instance.id -> member id."""
        self.targets: dict[str, frozenset[Place]] = {}
        self.owners: dict[Place, str] = {}
        self.regexes: dict[str, frozenset[str]] = {}
        """Regular expression -> the topics it stands for."""
        self.needs_refresh = True
        """Whether topics may have changed since the epoch was decided on."""
        self.pace = Pace()
        self.sessions: dict[str, Deadline] = {}
        self.rebalance_deadlines: dict[str, Deadline] = {}
        self.sync_deadlines: dict[str, Deadline] = {}

    @property
    def state(self) -> ConsumerGroupState:
        """How far the members are."""
        if not self.members:
            return ConsumerGroupState.EMPTY
        if self.epoch > self.target_epoch:
            return ConsumerGroupState.ASSIGNING
        if all(member.is_reconciled_to(self.target_epoch) for member in self.members.values()):
            return ConsumerGroupState.STABLE
        return ConsumerGroupState.RECONCILING

    def assignor(self, default: str) -> str:
        """The assignor most members ask for; `default` when none does."""
        return most_wanted_assignor(self.members.values(), default)

    def is_subscribed(self, topic: str) -> bool:
        """Whether a member consumes `topic`."""
        return any(topic in topics for topics in self.regexes.values()) or any(
            topic in member.subscribed_topics for member in self.members.values()
        )

    # Classic members

    def supports(self, protocol_type: str, protocols: Iterable[str]) -> bool:
        """Whether a classic member that speaks these can be one of the group: one must be every classic member's."""
        if protocol_type != CONSUMER_PROTOCOL_TYPE:
            return False
        spoken = [{name for name, _ in member.classic.protocols} for member in self.members.values() if member.classic]
        return any(all(name in names for names in spoken) for name in protocols)

    def is_all_classic_without(self, member_ids: Container[str]) -> bool:
        """Whether somebody is left when those go, and all who are left are classic members."""
        left = [member for member_id, member in self.members.items() if member_id not in member_ids]
        return bool(left) and all(member.classic is not None for member in left)

    def is_waiting(self, member: ConsumerMember) -> bool:
        """Whether something that is to be the member's is still another's."""
        target = self.targets.get(member.member_id, NOTHING)
        return any(place in self.owners for place in target if place not in member.assigned)

    # Offsets

    def member(self, member_id: str) -> ConsumerMember:
        """The member of that id. Raises UNKNOWN_MEMBER_ID."""
        found = self.members.get(member_id)
        if found is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
        return found

    def find_member(self, member_id: str, instance_id: str | None) -> ConsumerMember:
        """The member that a request is of. Raises UNKNOWN_MEMBER_ID or FENCED_INSTANCE_ID."""
        if instance_id is None:
            return self.member(member_id)
        owner_id = self.static_members.get(instance_id)
        if owner_id is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, f"Instance id {instance_id} is unknown.")
        if owner_id != member_id:
            raise KafkaError(ErrorCode.FENCED_INSTANCE_ID, f"Instance id {instance_id} is another member's now.")
        return self.members[owner_id]

    def check_commit(self, member_id: str, epoch: int, places: Callable[[], Iterable[Place]]) -> None:
        """Raise KafkaError unless the member may commit; anybody may while the group is empty.

        A commit that an older epoch sent counts where the partition was the member's in that epoch (KIP-1251).
        """
        if epoch < 0 and not self.members:
            return
        member = self.member(member_id)
        if epoch > member.epoch:
            raise _stale(member)
        if epoch < member.epoch:
            for place in places():
                since = member.assigned.get(place, member.pending_revocation.get(place))
                if since is None or epoch < since:
                    raise _stale(member)

    def check_owner(self, member_id: str, places: Iterable[Place]) -> None:
        """Raise STALE_MEMBER_EPOCH where a partition is another member's."""
        if any(self.owners.get(place, member_id) != member_id for place in places):
            raise _stale(self.member(member_id))

    def check_fetch(self, member_id: str | None, epoch: int) -> None:
        """Raise KafkaError unless the member may ask; who does not say who it is may."""
        if member_id is not None or epoch >= 0:
            _check_epoch(self.member(member_id or ""), epoch)

    def tombstones(self) -> list[CoordinatorRecord]:
        """Tombstones for all the log holds of the group."""
        gone = [record for member_id in self.members for record in member_tombstones(self.group_id, member_id)]
        gone += [regex_tombstone(self.group_id, regex) for regex in self.regexes]
        return gone + group_tombstones(self.group_id)

    # Timers

    def silence(self) -> None:
        """Stop every timer."""
        for deadlines in (self.sessions, self.rebalance_deadlines, self.sync_deadlines):
            for deadline in deadlines.values():
                deadline.clear()
            deadlines.clear()

    # Log

    def replay(self, entry: ConsumerEntry) -> None:
        """Apply one record that is not the group's own tombstone."""
        key, value = entry.key, entry.value
        if isinstance(value, ConsumerGroupMetadataValue):
            self.epoch, self.metadata_hash = value.epoch, value.metadata_hash
        elif isinstance(value, ConsumerGroupTargetAssignmentMetadataValue):
            self.target_epoch = value.assignment_epoch
        elif isinstance(key, ConsumerGroupTargetAssignmentMetadataKey):
            self.target_epoch = 0
        elif isinstance(key, ConsumerGroupMemberMetadataKey):
            assert value is None or isinstance(value, ConsumerGroupMemberMetadataValue)
            self._replay_member(key.member_id, value)
        elif isinstance(key, ConsumerGroupTargetAssignmentMemberKey):
            assert value is None or isinstance(value, ConsumerGroupTargetAssignmentMemberValue)
            self._replay_target(key.member_id, value)
        elif isinstance(key, ConsumerGroupCurrentMemberAssignmentKey):
            assert value is None or isinstance(value, ConsumerGroupCurrentMemberAssignmentValue)
            self._replay_current(key.member_id, value)
        elif isinstance(key, ConsumerGroupRegularExpressionKey):
            assert value is None or isinstance(value, ConsumerGroupRegularExpressionValue)
            if value is None:
                self.regexes.pop(key.regular_expression, None)
            else:
                self.regexes[key.regular_expression] = frozenset(value.topics)

    def _replay_member(self, member_id: str, value: ConsumerGroupMemberMetadataValue | None) -> None:
        if value is None:
            self._remove(member_id)
            return
        member = self.members.get(member_id) or ConsumerMember(member_id)
        self.members[member_id] = member._replace(
            instance_id=value.instance_id,
            rack_id=value.rack_id,
            client_id=value.client_id,
            client_host=value.client_host,
            subscribed_topics=tuple(value.subscribed_topic_names),
            subscribed_regex=value.subscribed_topic_regex or "",
            server_assignor=value.server_assignor,
            rebalance_timeout_ms=value.rebalance_timeout_ms,
            classic=_classic_side(value),
        )
        if value.instance_id is not None:
            self.static_members[value.instance_id] = member_id

    def _remove(self, member_id: str) -> None:
        member = self.members.pop(member_id, None)
        if member is None:
            return
        self._release(member)
        if member.instance_id is not None and self.static_members.get(member.instance_id) == member_id:
            del self.static_members[member.instance_id]
        for deadlines in (self.sessions, self.rebalance_deadlines, self.sync_deadlines):
            deadline = deadlines.pop(member_id, None)
            if deadline is not None:
                deadline.clear()

    def _replay_target(self, member_id: str, value: ConsumerGroupTargetAssignmentMemberValue | None) -> None:
        if value is None:
            self.targets.pop(member_id, None)
        else:
            self.targets[member_id] = frozenset(
                (topic.topic_id, index) for topic in value.topic_partitions for index in topic.partitions
            )

    def _replay_current(self, member_id: str, value: ConsumerGroupCurrentMemberAssignmentValue | None) -> None:
        member = self.members.get(member_id)
        if member is None:
            if value is None:
                return
            member = ConsumerMember(member_id)
        self._release(member)
        if value is None:
            value = ConsumerGroupCurrentMemberAssignmentValue()
        self.members[member_id] = member = member._replace(
            epoch=value.member_epoch,
            previous_epoch=value.previous_member_epoch,
            state=MemberState(value.state),
            assigned=_with_epochs(value.assigned_partitions, value.member_epoch),
            pending_revocation=_with_epochs(value.partitions_pending_revocation, value.member_epoch),
        )
        for place in (*member.assigned, *member.pending_revocation):
            self.owners[place] = member_id

    def _release(self, member: ConsumerMember) -> None:
        for place in (*member.assigned, *member.pending_revocation):
            if self.owners.get(place) == member.member_id:
                del self.owners[place]


def _with_epochs(topics: list[TopicPartitions], epoch: int) -> dict[Place, int]:
    """Partitions and the epochs they were given in; a broker before 4.3 did not write those."""
    found: dict[Place, int] = {}
    for topic in topics:
        epochs = topic.assignment_epochs or [epoch] * len(topic.partitions)
        found.update(((topic.topic_id, index), given) for index, given in zip(topic.partitions, epochs, strict=True))
    return found


def _classic_side(value: ConsumerGroupMemberMetadataValue) -> ClassicSide | None:
    classic = value.classic_member_metadata
    if classic is None:
        return None
    return ClassicSide(
        classic.session_timeout_ms, tuple((each.name, each.metadata) for each in classic.supported_protocols)
    )


def _check_epoch(member: ConsumerMember, epoch: int) -> None:
    if epoch != member.epoch:
        raise _stale(member)


def _stale(member: ConsumerMember) -> KafkaError:
    """The epoch is not the member's, in the words of its protocol."""
    return KafkaError(ErrorCode.STALE_MEMBER_EPOCH if member.classic is None else ErrorCode.ILLEGAL_GENERATION)
