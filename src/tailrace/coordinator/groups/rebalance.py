"""How a classic group gets from one generation to the next.

    prepare ──> (wait: initial delay, or the rebalance timeout) ──> complete_join ──> syncs ──> Stable
       ^                                                                │
       └──── a member leaves, expires, changes or does not sync ────────┘

Every method runs in its group's turn. What changes here is what the log does not hold; the record of an emptied group
is decided here, and replay makes it so.
Source: Kafka's `GroupMetadataManager` (prepareRebalance, completeClassicGroupJoin, expire...), KIP-134, KIP-62.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.decision import Decision, Operation
from tailrace.coordinator.groups.classic_group import ClassicGroup, GroupState
from tailrace.coordinator.groups.member import NO_GENERATION, Member
from tailrace.coordinator.groups.records import group_record
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.limits import EMPTY_GROUP_RETRY_MS, NEW_MEMBER_JOIN_TIMEOUT_MS
from tailrace.coordinator.ports import Timers
from tailrace.coordinator.rebalances import Rebalances
from tailrace.wire.messages.sync_group import SyncGroupResponse


class Rebalance:
    """The moves of a rebalance, and the timers behind them. Shared by the groups of one partition."""

    __slots__ = ("_clock", "_take_turn", "_timers", "journal", "settings")

    def __init__(
        self,
        settings: GroupSettings,
        clock: Clock,
        timers: Timers,
        take_turn: Callable[[str, Operation], None],
        journal: Rebalances,
    ) -> None:
        self.journal = journal
        self.settings = settings
        self._clock = clock
        self._timers = timers
        self._take_turn = take_turn

    def now_ms(self) -> int:
        """Wall-clock milliseconds."""
        return self._clock.wall_ms()

    def deadline(self, group_id: str) -> Deadline:
        """A timer that takes that group's turn."""
        return Deadline(self._timers, partial(self._take_turn, group_id))

    # Moves

    def prepare(self, group: ClassicGroup, reason: str) -> Decision | None:
        """Begin a rebalance, or go on with the one that is running; `reason` "" adds no cause to it."""
        if reason:
            self.journal.because(group.group_id, reason)
        if group.state is GroupState.PREPARING_REBALANCE:
            return self.maybe_complete_join(group)
        group.rebalance_reason = reason
        if group.state is GroupState.COMPLETING_REBALANCE:
            self.fail_syncs(group, ErrorCode.REBALANCE_IN_PROGRESS)
        group.sync_deadline.clear()
        group.pending_syncs.clear()
        is_initial = group.state is GroupState.EMPTY
        group.move_to(GroupState.PREPARING_REBALANCE, self.now_ms())
        if is_initial:
            return self._wait_for_first_members(group)
        if group.all_joined:
            return self.complete_join(group)
        group.join_deadline.set(group.rebalance_timeout_ms, partial(self.complete_join, group))
        return None

    def begin_leaderless(self, group: ClassicGroup) -> None:
        """Rebalance a group whose record names no leader: it was a consumer group, and some partitions are nobody's."""
        group.leader = next(iter(group.members))
        decision = self.prepare(group, "only classic members are left of a consumer group")
        assert decision is None, "nobody has joined: members are waited for"

    def maybe_complete_join(self, group: ClassicGroup) -> Decision | None:
        """End the join phase if it was waiting only for what has just happened."""
        is_initial = group.previous_state is GroupState.EMPTY
        if group.state is GroupState.PREPARING_REBALANCE and group.all_joined and not is_initial:
            return self.complete_join(group)
        return None

    def complete_join(self, group: ClassicGroup) -> Decision | None:
        """End the join phase: who has not come back is out, unless its instance id keeps its place."""
        group.join_deadline.clear()
        absent = [member for member in group.members.values() if member.join_answer is None]
        for member in absent:
            if member.group_instance_id is None:
                group.remove(member.member_id)
                self.journal.because(group.group_id, f"{member.member_id} is out: it did not join again in time")
        if not group.members:
            return self._empty(group)
        if not group.elect_joined_leader():
            # Only static members, none of them here: their session timeouts decide.
            group.join_deadline.set(group.rebalance_timeout_ms, partial(self.complete_join, group))
            return None
        group.start_generation(self.now_ms())
        self.journal.begun(group.group_id, group.generation)
        group.new_member_added = False
        group.sync_deadline.set(group.rebalance_timeout_ms, partial(self._on_sync_timeout, group))
        for member in list(group.members.values()):
            member.is_new = False
            member.earlier_generation = NO_GENERATION
            self.extend_session(group, member)
            group.answer_join(member, group.joined(member))
        return None

    def _wait_for_first_members(self, group: ClassicGroup) -> Decision | None:
        """The first join of an empty group waits for others, longer while they keep coming (KIP-134)."""
        group.new_member_added = False
        delay_ms = self.settings.group_initial_rebalance_delay_ms
        if delay_ms == 0:
            return self.complete_join(group)
        remaining_ms = max(group.rebalance_timeout_ms - delay_ms, 0)
        group.join_deadline.set(delay_ms, partial(self._on_initial_delay, group, delay_ms, remaining_ms))
        return None

    def _on_initial_delay(self, group: ClassicGroup, delay_ms: int, remaining_ms: int) -> Decision | None:
        if not group.new_member_added or remaining_ms == 0:
            return self.complete_join(group)
        group.new_member_added = False
        next_delay_ms = min(self.settings.group_initial_rebalance_delay_ms, remaining_ms)
        next_remaining_ms = max(remaining_ms - delay_ms, 0)
        group.join_deadline.set(next_delay_ms, partial(self._on_initial_delay, group, next_delay_ms, next_remaining_ms))
        return None

    def _empty(self, group: ClassicGroup) -> Decision:
        """Record that nobody is left. While the log refuses it the group stays as it is, and it is tried again."""
        group.sync_deadline.clear()
        value = group.to_record(self.now_ms(), (), {})
        value.generation += 1
        value.protocol = None

        def retry(_: ErrorCode) -> None:
            group.join_deadline.set(EMPTY_GROUP_RETRY_MS, partial(self.complete_join, group))

        emptied = partial(self.journal.begun, group.group_id, value.generation)
        return Decision([group_record(group.group_id, value)], emptied, retry)

    def fail_syncs(self, group: ClassicGroup, code: ErrorCode) -> None:
        """Answer every parked sync with an error; what was assigned before is void."""
        for member in list(group.members.values()):
            member.assignment = b""
            if group.answer_sync(member, SyncGroupResponse(error_code=code)):
                self.extend_session(group, member)

    def release_syncs(self, group: ClassicGroup) -> None:
        """Answer every parked sync with its member's assignment."""
        for member in list(group.members.values()):
            if group.answer_sync(member, group.synced(member)):
                self.extend_session(group, member)

    def note_sync(self, group: ClassicGroup, member_id: str) -> None:
        """A member's sync has come; when all have, nobody is waited for."""
        group.pending_syncs.discard(member_id)
        if not group.pending_syncs:
            group.sync_deadline.clear()

    def _on_sync_timeout(self, group: ClassicGroup) -> Decision | None:
        """Who took part in the join and never synced, the leader perhaps, is out."""
        silent = sorted(group.pending_syncs)
        for member_id in silent:
            group.remove(member_id)
        return self.prepare(group, f"no SyncGroup from {', '.join(silent)} within the rebalance timeout")

    # Sessions

    def extend_session(self, group: ClassicGroup, member: Member) -> None:
        """The member is alive: count its session timeout from this moment."""
        self._set_session(group, member, member.session_timeout_ms)

    def begin_membership(self, group: ClassicGroup, member: Member) -> None:
        """A member in its first join cannot send heartbeats: it has a longer, fixed time."""
        self._set_session(group, member, NEW_MEMBER_JOIN_TIMEOUT_MS)

    def _set_session(self, group: ClassicGroup, member: Member, delay_ms: int) -> None:
        session = member.session
        if session is None:
            session = member.session = self.deadline(group.group_id)
        if session.is_set:
            session.extend(delay_ms)
        else:
            session.set(delay_ms, partial(self._on_session_timeout, group, member))

    def _on_session_timeout(self, group: ClassicGroup, member: Member) -> Decision | None:
        """A silent member is out. One whose request waits here is alive; answering it starts its session again."""
        if member.is_waiting or group.members.get(member.member_id) is not member:
            return None
        return self.remove(group, [member.member_id], f"session of {member.member_id} timed out")

    def add_pending(self, group: ClassicGroup, member_id: str, session_timeout_ms: int) -> None:
        """Remember an id that was given out; it is void when it does not come back in time (KIP-394)."""
        deadline = group.pending_members[member_id] = self.deadline(group.group_id)
        deadline.set(session_timeout_ms, partial(self._on_pending_timeout, group, member_id))

    def _on_pending_timeout(self, group: ClassicGroup, member_id: str) -> Decision | None:
        if member_id not in group.pending_members:
            return None
        group.remove_pending(member_id)
        return self.maybe_complete_join(group)

    # Leaving

    def remove(self, group: ClassicGroup, member_ids: list[str], reason: str) -> Decision | None:
        """Take members (or ids that never came back) out and let the rest have their partitions."""
        for member_id in member_ids:
            if member_id in group.pending_members:
                group.remove_pending(member_id)
            else:
                group.remove(member_id)
        if group.state in (GroupState.STABLE, GroupState.COMPLETING_REBALANCE):
            return self.prepare(group, reason)
        if group.state is GroupState.PREPARING_REBALANCE:
            self.journal.because(group.group_id, reason)
        return self.maybe_complete_join(group)
