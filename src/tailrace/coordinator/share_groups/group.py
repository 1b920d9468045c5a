"""One share group: its epochs, its members, what each is to have, and of which partitions it has a state.

    Empty ──first member──> Stable        Stable ──last member gone──> Empty

A partition may be several members' at once, so nobody waits for anybody: there is no other state. Durable: all of it
but for timers, `needs_refresh` and `initializing_since_ms`. Changed by `replay` alone.
Source: Kafka's `ShareGroup`, KIP-932.
"""

from __future__ import annotations

from enum import StrEnum
from uuid import UUID

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.share_groups.member import NOTHING, Place, ShareMember
from tailrace.coordinator.share_groups.records import ShareEntry, group_tombstones, read_state_partitions
from tailrace.coordinator.share_groups.state_partitions import StatePartitions
from tailrace.wire.group_records.share_group_current_member_assignment import (
    ShareGroupCurrentMemberAssignmentKey,
    ShareGroupCurrentMemberAssignmentValue,
)
from tailrace.wire.group_records.share_group_member_metadata import (
    ShareGroupMemberMetadataKey,
    ShareGroupMemberMetadataValue,
)
from tailrace.wire.group_records.share_group_metadata import ShareGroupMetadataValue
from tailrace.wire.group_records.share_group_state_partition_metadata import (
    ShareGroupStatePartitionMetadataKey,
    ShareGroupStatePartitionMetadataValue,
)
from tailrace.wire.group_records.share_group_target_assignment_member import (
    ShareGroupTargetAssignmentMemberKey,
    ShareGroupTargetAssignmentMemberValue,
)
from tailrace.wire.group_records.share_group_target_assignment_metadata import (
    ShareGroupTargetAssignmentMetadataKey,
    ShareGroupTargetAssignmentMetadataValue,
)

FIRST_EPOCH = 1
"""Of a group without records; its first member raises it, as in Kafka 4.3."""


class ShareGroupState(StrEnum):
    """States of a share group, spelled as ShareGroupDescribe does."""

    EMPTY = "Empty"
    STABLE = "Stable"


class ShareGroup:
    """State of one group."""

    __slots__ = (
        "_has_unassigned",
        "assigned_ms",
        "epoch",
        "group_id",
        "initializing_since_ms",
        "members",
        "metadata_hash",
        "needs_refresh",
        "sessions",
        "state_partitions",
        "target_epoch",
        "targets",
    )

    def __init__(self, group_id: str) -> None:
        self.group_id = group_id
        self.epoch = FIRST_EPOCH
        self.metadata_hash = 0
        self.target_epoch = FIRST_EPOCH
        self.assigned_ms = 0
        """When the target was computed."""
        self.members: dict[str, ShareMember] = {}
        self.targets: dict[str, frozenset[Place]] = {}
        self.state_partitions = StatePartitions()
        self.initializing_since_ms: dict[UUID, int] = {}
        """Topics whose states are being made, since when: as this process knows it."""
        self.needs_refresh = True
        """Whether topics may have changed since the epoch was decided on."""
        self.sessions: dict[str, Deadline] = {}
        self._has_unassigned: bool | None = None
        """What `has_unassigned` found; None when the group has changed since."""

    @property
    def has_unassigned(self) -> bool:
        """Whether there are partitions with a state that members want and nobody was given."""
        if self._has_unassigned is None:
            self._has_unassigned = self._look_for_unassigned()
        return self._has_unassigned

    def _look_for_unassigned(self) -> bool:
        wanted, book = self.subscribed_topics(), self.state_partitions
        assigned: dict[UUID, set[int]] = {}
        for target in self.targets.values():
            for topic, index in target:
                assigned.setdefault(topic, set()).add(index)
        return any(
            assigned.get(topic, set()) != indexes
            for topic, indexes in book.initialized.items()
            if book.names.get(topic) in wanted
        )

    @property
    def state(self) -> ShareGroupState:
        """Whether anybody is there."""
        return ShareGroupState.STABLE if self.members else ShareGroupState.EMPTY

    def member(self, member_id: str) -> ShareMember:
        """The member of that id. Raises UNKNOWN_MEMBER_ID."""
        found = self.members.get(member_id)
        if found is None:
            raise KafkaError(
                ErrorCode.UNKNOWN_MEMBER_ID, f"Member {member_id} is not a member of group {self.group_id}."
            )
        return found

    def check_empty(self) -> None:
        """Raise NON_EMPTY_GROUP while there are members."""
        if self.members:
            raise KafkaError(ErrorCode.NON_EMPTY_GROUP, "The group is not empty.")

    def subscribed_topics(self) -> set[str]:
        """Every topic a member wants."""
        return {topic for member in self.members.values() for topic in member.subscribed_topics}

    def tombstones(self) -> list[CoordinatorRecord]:
        """Tombstones for all the log holds of a group without members."""
        assert not self.members
        return group_tombstones(self.group_id)

    def silence(self) -> None:
        """Stop every timer."""
        for deadline in self.sessions.values():
            deadline.clear()
        self.sessions.clear()

    # Log

    def replay(self, entry: ShareEntry) -> None:
        """Apply one record that is not the group's own tombstone."""
        key, value = entry.key, entry.value
        self._has_unassigned = None
        if isinstance(value, ShareGroupMetadataValue):
            self.epoch, self.metadata_hash = value.epoch, value.metadata_hash
        elif isinstance(value, ShareGroupTargetAssignmentMetadataValue):
            self.target_epoch, self.assigned_ms = value.assignment_epoch, value.assignment_timestamp
        elif isinstance(key, ShareGroupTargetAssignmentMetadataKey):
            self.target_epoch, self.assigned_ms = -1, 0
        elif isinstance(key, ShareGroupMemberMetadataKey):
            self._replay_member(key.member_id, value)
        elif isinstance(key, ShareGroupTargetAssignmentMemberKey):
            self._replay_target(key.member_id, value)
        elif isinstance(key, ShareGroupCurrentMemberAssignmentKey):
            self._replay_current(key.member_id, value)
        elif isinstance(key, ShareGroupStatePartitionMetadataKey):
            self._replay_state_partitions(value)

    def _replay_member(self, member_id: str, value: ShareGroupMemberMetadataValue | None) -> None:
        if value is None:
            self.members.pop(member_id, None)
            session = self.sessions.pop(member_id, None)
            if session is not None:
                session.clear()
            return
        member = self.members.get(member_id) or ShareMember(member_id)
        self.members[member_id] = member._replace(
            rack_id=value.rack_id,
            client_id=value.client_id,
            client_host=value.client_host,
            subscribed_topics=tuple(value.subscribed_topic_names),
        )

    def _replay_target(self, member_id: str, value: ShareGroupTargetAssignmentMemberValue | None) -> None:
        if value is None:
            self.targets.pop(member_id, None)
        else:
            self.targets[member_id] = frozenset(
                (topic.topic_id, index) for topic in value.topic_partitions for index in topic.partitions
            )

    def _replay_current(self, member_id: str, value: ShareGroupCurrentMemberAssignmentValue | None) -> None:
        member = self.members.get(member_id)
        if value is None:
            if member is not None:
                self.members[member_id] = member._replace(epoch=-1, previous_epoch=-1, assigned=NOTHING)
            return
        self.members[member_id] = (member or ShareMember(member_id))._replace(
            epoch=value.member_epoch,
            previous_epoch=value.previous_member_epoch,
            assigned=frozenset(
                (topic.topic_id, index) for topic in value.assigned_partitions for index in topic.partitions
            ),
        )

    def _replay_state_partitions(self, value: ShareGroupStatePartitionMetadataValue | None) -> None:
        self.state_partitions = StatePartitions() if value is None else read_state_partitions(value)
        since = self.initializing_since_ms
        self.initializing_since_ms = {
            topic: at_ms for topic, at_ms in since.items() if topic in self.state_partitions.initializing
        }
