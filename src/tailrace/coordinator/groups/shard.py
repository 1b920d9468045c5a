"""The groups of one partition of `__consumer_offsets`: what its log says, and the turns of its groups.

Invariant: applying the partition's records in order with `replay`, from nothing, gives the durable state of every group
(`ClassicGroup.durable`, offsets) as of the last committed record.
A group takes one turn at a time: while its records are on their way into the log, what comes for it waits in its queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode
from tailrace.coordinator.groups.classic_group import ClassicGroup, GroupState
from tailrace.coordinator.groups.deadline import Operation
from tailrace.coordinator.groups.rebalance import Rebalance
from tailrace.coordinator.groups.records import GroupEntry, OffsetEntry, read_record
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import GroupRecord, Timers


class Turn(NamedTuple):
    """An operation waiting for its group, and how to refuse it."""

    operation: Operation
    refuse: Callable[[ErrorCode], None]


class GroupShard:
    """State machine of one partition."""

    __slots__ = ("groups", "is_closed", "is_loading", "partition", "rebalance", "turns")

    def __init__(
        self,
        partition: int,
        settings: GroupSettings,
        clock: Clock,
        timers: Timers,
        take_turn: Callable[[GroupShard, str, Operation], None],
    ) -> None:
        self.partition = partition
        self.groups: dict[str, ClassicGroup] = {}
        self.turns: dict[str, deque[Turn]] = {}
        """A group has an entry while it is in a turn: what waits for it."""
        self.is_loading = True
        self.is_closed = False
        self.rebalance = Rebalance(
            settings, clock, timers, lambda group_id, operation: take_turn(self, group_id, operation)
        )

    def new_group(self, group_id: str) -> ClassicGroup:
        """An empty group that is not yet one of the shard's."""
        group = ClassicGroup(group_id, self.rebalance.deadline(group_id), self.rebalance.deadline(group_id))
        group.state_timestamp_ms = self.rebalance.now_ms()
        return group

    def replay(self, record: GroupRecord) -> None:
        """Apply one committed record. Raises DecodeError for bytes nobody can read."""
        entry = read_record(record)
        if isinstance(entry, OffsetEntry):
            self._replay_offset(entry)
        elif isinstance(entry, GroupEntry):
            self._replay_group(entry)

    def _replay_offset(self, entry: OffsetEntry) -> None:
        group = self.groups.get(entry.group_id)
        if entry.committed is not None:
            if group is None:
                group = self.groups[entry.group_id] = self.new_group(entry.group_id)
            group.offsets.set(entry.topic, entry.partition, entry.committed)
        elif group is not None:
            group.offsets.remove(entry.topic, entry.partition)

    def _replay_group(self, entry: GroupEntry) -> None:
        group = self.groups.get(entry.group_id)
        if entry.value is not None:
            if group is None:
                group = self.groups[entry.group_id] = self.new_group(entry.group_id)
            group.replay(entry.value)
        elif group is not None:
            if group.offsets:
                # Compaction may keep an offset whose group is gone: to Kafka it then belongs to no group's life.
                kept = group.offsets
                self.forget(group)
                group = self.groups[entry.group_id] = self.new_group(entry.group_id)
                group.offsets = kept
            else:
                self.forget(group)

    def forget(self, group: ClassicGroup) -> None:
        """Drop a group of which the log holds nothing."""
        del self.groups[group.group_id]
        self.silence(group)
        group.state = GroupState.DEAD

    def silence(self, group: ClassicGroup) -> None:
        """Stop every timer of a group."""
        group.join_deadline.clear()
        group.sync_deadline.clear()
        for deadline in group.pending_members.values():
            deadline.clear()
        for member in group.members.values():
            if member.session is not None:
                member.session.clear()

    def finish_load(self) -> None:
        """The log has been read: serve, and give every member a session timeout to show up."""
        self.is_loading = False
        for group in self.groups.values():
            for member in group.members.values():
                self.rebalance.extend_session(group, member)
