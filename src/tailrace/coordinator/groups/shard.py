"""The groups of one partition of `__consumer_offsets`: what its log says, and the turns of its groups.

Invariant: applying the partition's records in order with `replay`, from nothing, gives the durable state of every group
(`ClassicGroup.durable`, offsets) as of the last committed record.
A group takes one turn at a time: while its records are on their way into the log, what comes for it waits in its queue.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from tailrace.base.clock import Clock
from tailrace.coordinator.decision import Decision, Operation
from tailrace.coordinator.groups.classic_group import ClassicGroup, GroupState
from tailrace.coordinator.groups.offsets import CommittedOffset
from tailrace.coordinator.groups.rebalance import Rebalance
from tailrace.coordinator.groups.records import GroupEntry, OffsetEntry, read_record
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import CoordinatorRecord, Timers
from tailrace.coordinator.rebalances import Rebalances
from tailrace.coordinator.turns import Turn

if TYPE_CHECKING:
    from tailrace.coordinator.consumer_groups.group import ConsumerGroup


_SHARE_TYPES: Final = range(10, 16)
"""Types of the records of share groups."""


class GroupShard:
    """State machine of one partition."""

    __slots__ = (
        "_ends",
        "_offset_count",
        "groups",
        "is_closed",
        "is_loading",
        "open_transactions",
        "partition",
        "rebalance",
        "turns",
    )

    def __init__(
        self,
        partition: int,
        settings: GroupSettings,
        clock: Clock,
        timers: Timers,
        take_turn: Callable[[GroupShard, str, Operation], None],
        journal: Rebalances,
    ) -> None:
        self.partition = partition
        self.groups: dict[str, ClassicGroup] = {}
        self.turns: dict[str, deque[Turn]] = {}
        """A group has an entry while it is in a turn: what waits for it."""
        self.open_transactions: dict[int, set[str]] = {}
        """Producer id -> the groups it has committed offsets of, in a transaction without a marker."""
        self._ends: list[tuple[int, bool]] = []
        """Markers that were written while the log was read, which may have been beyond them by then."""
        self._offset_count = 0
        self.is_loading = True
        self.is_closed = False
        self.rebalance = Rebalance(
            settings, clock, timers, lambda group_id, operation: take_turn(self, group_id, operation), journal
        )

    def new_group(self, group_id: str) -> ClassicGroup:
        """An empty group that is not yet one of the shard's."""
        group = ClassicGroup(group_id, self.rebalance.deadline(group_id), self.rebalance.deadline(group_id))
        group.state_timestamp_ms = self.rebalance.now_ms()
        return group

    def apply(self, decision: Decision) -> None:
        """Replay the records of a decision that is committed."""
        transaction = decision.transaction
        for record in decision.records:
            if transaction is None:
                self.replay(record)
            else:
                self.replay_transactional(transaction.producer_id, record)

    def replay(self, record: CoordinatorRecord) -> None:
        """Apply one committed record. Raises DecodeError for bytes nobody can read."""
        entry = read_record(record)
        if isinstance(entry, OffsetEntry):
            self._replay_offset(entry)
        elif isinstance(entry, GroupEntry):
            self._replay_group(entry)
        elif record.key[0] == 0 and record.key[1] in _SHARE_TYPES:
            self._replay_share(record)
        else:
            self._replay_consumer(record)

    def replay_transactional(self, producer_id: int, record: CoordinatorRecord) -> None:
        """Apply one record of an open transaction: only offsets are ever written in one. Raises DecodeError."""
        entry = read_record(record)
        if isinstance(entry, OffsetEntry) and entry.committed is not None:
            group = self._group(entry.group_id)
            group.pending_offsets.set(producer_id, entry.topic, entry.partition, self._ordered(entry.committed))
            self.open_transactions.setdefault(producer_id, set()).add(entry.group_id)

    def replay_end(self, producer_id: int, is_commit: bool) -> None:
        """Apply a marker: what the producer committed in its transaction is the groups', or is forgotten."""
        for group_id in self.open_transactions.pop(producer_id, ()):
            group = self.groups.get(group_id)
            if group is None:
                continue
            for topic, partition, committed in group.pending_offsets.take(producer_id):
                known = group.offsets.get(topic, partition)
                if is_commit and (known is None or known.order < committed.order):
                    group.offsets.set(topic, partition, committed)
            if group.is_void and group_id not in self.turns:
                self.forget(group)

    def _ordered(self, committed: CommittedOffset) -> CommittedOffset:
        self._offset_count += 1
        return committed._replace(order=self._offset_count)

    def _group(self, group_id: str) -> ClassicGroup:
        group = self.groups.get(group_id)
        if group is None:
            group = self.groups[group_id] = self.new_group(group_id)
        return group

    def _replay_offset(self, entry: OffsetEntry) -> None:
        if entry.committed is not None:
            group = self._group(entry.group_id)
            group.offsets.set(entry.topic, entry.partition, self._ordered(entry.committed))
            return
        known = self.groups.get(entry.group_id)
        if known is not None:
            known.offsets.remove(entry.topic, entry.partition)
            known.pending_offsets.remove(entry.topic, entry.partition)

    def _replay_group(self, entry: GroupEntry) -> None:
        group = self.groups.get(entry.group_id)
        if entry.value is not None:
            if group is None:
                group = self.groups[entry.group_id] = self.new_group(entry.group_id)
            group.replay(entry.value)
        elif group is not None:
            if group.offsets or group.pending_offsets:
                # Compaction may keep an offset whose group is gone: to Kafka it then belongs to no group's life.
                kept, pending = group.offsets, group.pending_offsets
                self.forget(group)
                group = self.groups[entry.group_id] = self.new_group(entry.group_id)
                group.offsets, group.pending_offsets = kept, pending
            else:
                self.forget(group)

    def _replay_consumer(self, record: CoordinatorRecord) -> None:
        # Imported when it is needed: a broker without consumer groups need not pay for their records at its start.
        from tailrace.coordinator.consumer_groups.group import ConsumerGroup
        from tailrace.coordinator.consumer_groups.records import is_group_tombstone, read_consumer_record

        entry = read_consumer_record(record)
        if entry is None:
            return
        group = self.groups.get(entry.group_id)
        if entry.value is None and (group is None or group.consumer is None):
            return
        if group is None:
            group = self._group(entry.group_id)
        if group.consumer is None:
            group.consumer = ConsumerGroup(entry.group_id)
        group.consumer.replay(entry)
        if is_group_tombstone(entry):
            group.consumer.silence()
            group.consumer = None
            group.state_timestamp_ms = self.rebalance.now_ms()
            if group.is_void:
                self.forget(group)

    def _replay_share(self, record: CoordinatorRecord) -> None:
        # Imported when it is needed, as above.
        from tailrace.coordinator.share_groups.group import ShareGroup
        from tailrace.coordinator.share_groups.records import is_group_tombstone, read_share_record

        entry = read_share_record(record)
        assert entry is not None
        known = self.groups.get(entry.group_id)
        if entry.value is None and (known is None or known.share is None):
            return
        group = self._group(entry.group_id)
        if group.share is None:
            group.share = ShareGroup(entry.group_id)
        group.share.replay(entry)
        if is_group_tombstone(entry):
            group.share.silence()
            group.share = None
            if group.is_void:
                self.forget(group)

    def find_consumer(self, group_id: str) -> ConsumerGroup | None:
        """The group of that id under the consumer protocol."""
        group = self.groups.get(group_id)
        return None if group is None else group.consumer

    def forget(self, group: ClassicGroup) -> None:
        """Drop a group of which the log holds nothing."""
        del self.groups[group.group_id]
        self.rebalance.journal.forget(group.group_id)
        self.silence(group)
        group.state = GroupState.DEAD

    def silence(self, group: ClassicGroup) -> None:
        """Stop every timer of a group."""
        if group.consumer is not None:
            group.consumer.silence()
        if group.share is not None:
            group.share.silence()
        group.join_deadline.clear()
        group.sync_deadline.clear()
        for deadline in group.pending_members.values():
            deadline.clear()
        for member in group.members.values():
            if member.session is not None:
                member.session.clear()

    def end_transaction(self, producer_id: int, is_commit: bool) -> None:
        """A marker was written and committed."""
        if self.is_loading:
            self._ends.append((producer_id, is_commit))
        else:
            self.replay_end(producer_id, is_commit)

    def finish_load(self) -> None:
        """The log has been read: serve, and give every member a session timeout to show up."""
        self.is_loading = False
        ends, self._ends = self._ends, []
        for end in ends:
            self.replay_end(*end)
        for group in self.groups.values():
            for member in group.members.values():
                self.rebalance.extend_session(group, member)
            if group.members and group.leader is None:
                self.rebalance.begin_leaderless(group)
