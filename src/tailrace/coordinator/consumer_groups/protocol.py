"""The consumer protocol of one partition's groups: heartbeats into decisions, and answers after the commit.

Every method runs in its group's turn. A group whose last member of this protocol goes, while classic members stay, is
theirs again: `Groups.downgrade`. Source: Kafka's `GroupMetadataManager`, KIP-848.
"""

from __future__ import annotations

from collections.abc import Callable, Container
from functools import partial
from math import ceil
from typing import Final, NamedTuple, Protocol

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups import classic_members, heartbeats
from tailrace.coordinator.consumer_groups.classic_members import ClassicJoin
from tailrace.coordinator.consumer_groups.draft import Draft
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.heartbeats import Beat, Outcome, Surroundings
from tailrace.coordinator.consumer_groups.member import STATIC_LEAVING_EPOCH, ConsumerMember
from tailrace.coordinator.consumer_groups.records import by_topic
from tailrace.coordinator.consumer_groups.settings import ConsumerGroupSettings
from tailrace.coordinator.consumer_groups.timers import MemberTimers
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.rebalances import Rebalances
from tailrace.wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.join_group import JoinGroupResponse
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse

_ASSIGNMENT_INTERVAL: Final = "consumer.assignment.interval.ms"
_HEARTBEAT_INTERVAL: Final = "consumer.heartbeat.interval.ms"

Answer = Pending[ConsumerGroupHeartbeatResponse]


class Change(NamedTuple):
    """A group on its way from one protocol to the other: its records, and what is to follow their commit."""

    records: list[CoordinatorRecord]
    follow: Callable[[], None]


class Groups(Protocol):
    """The groups of a partition, as the protocol reaches them."""

    def find(self, group_id: str) -> ConsumerGroup | None:
        """The consumer group of that id as it is now."""
        ...

    def deadline(self, group_id: str) -> Deadline:
        """A timer that takes the group's turn."""
        ...

    def downgrade(self, group: ConsumerGroup, leaving: Container[str]) -> Change | None:
        """The group as its classic members' own when those leave; None while it is to stay a consumer group."""
        ...

    def downgrade_with(self, draft: Draft, member: ConsumerMember) -> Change | None:
        """The same, when a static member that is a classic one now takes the place of the last other one."""
        ...


class ConsumerProtocol:
    """Shared by the groups of one partition."""

    __slots__ = ("_clock", "_groups", "_image", "_journal", "_timers", "settings")

    def __init__(
        self,
        settings: ConsumerGroupSettings,
        clock: Clock,
        image: Callable[[], MetadataImage],
        groups: Groups,
        journal: Rebalances,
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._image = image
        self._groups = groups
        self._journal = journal
        self._timers = MemberTimers(settings, image, groups.deadline, self._expire)

    # Members of the consumer protocol

    def heartbeat(self, group: ConsumerGroup, first: Change | None, beat: Beat, answer: Answer) -> Decision | None:
        """Decide a heartbeat that joins or stays; `first` makes the group one of this protocol. Raises KafkaError."""
        draft = Draft(group, None if first is None else first.records)
        outcome = heartbeats.stay(self._around(group.group_id), draft, beat)
        group.needs_refresh = False
        stayed = partial(self._stayed, group.group_id, outcome, answer)
        if not draft.records:
            stayed()
            return None

        def done() -> None:
            if first is not None:
                first.follow()
            if group.members and first is not None:
                self.begin_sessions(group.group_id)
            stayed()

        return self._decision(draft, done, partial(_refuse, group, answer))

    def leave(self, group: ConsumerGroup, request: ConsumerGroupHeartbeatRequest, answer: Answer) -> Decision:
        """Decide a leave. Raises KafkaError."""
        draft = Draft(group)
        member = group.find_member(request.member_id, request.instance_id)
        response = ConsumerGroupHeartbeatResponse(member_id=request.member_id, member_epoch=request.member_epoch)
        refuse = partial(_refuse, group, answer)
        if request.instance_id is not None and request.member_epoch == STATIC_LEAVING_EPOCH:
            heartbeats.leave_for_a_while(draft, member)
            return self._decision(draft, lambda: answer.complete(response), refuse)
        return self._without(group, [member], f"{member.member_id} left", lambda: answer.complete(response), refuse)

    def remove(
        self,
        group: ConsumerGroup,
        members: list[ConsumerMember],
        done: Callable[[], None],
        refuse: Callable[[ErrorCode], None],
    ) -> Decision:
        """Decide that members go by LeaveGroup: classic ones by themselves, others by an administrator's hand."""
        removed = ", ".join(member.member_id for member in members)
        return self._without(group, members, f"{removed} left by LeaveGroup", done, refuse)

    def begin_sessions(self, group_id: str) -> None:
        """The group was loaded, or has just changed its protocol: every member has a session timeout to show up."""
        group = self._groups.find(group_id)
        if group is not None:
            self._timers.begin(group)

    def _stayed(self, group_id: str, outcome: Outcome, answer: Answer) -> None:
        """A heartbeat is decided and in the log: its member lives on."""
        member = outcome.member
        group = self._groups.find(group_id)
        if group is not None:
            self._timers.extend_session(group, member)
            self._timers.watch_revocation(group, member)
        interval_ms = self._timers.of_group(
            group_id, _HEARTBEAT_INTERVAL, self.settings.group_consumer_heartbeat_interval_ms
        )
        if outcome.returns_in_ms:
            interval_ms = max(min(interval_ms, ceil(outcome.returns_in_ms)), 1)
        response = ConsumerGroupHeartbeatResponse(
            member_id=member.member_id, member_epoch=member.epoch, heartbeat_interval_ms=interval_ms
        )
        if outcome.tells_assignment:
            topics = [TopicPartitions(topic, indexes) for topic, indexes in by_topic(member.assigned)]
            response.assignment = Assignment(topics)
        answer.complete(response)

    # Classic members

    def join(self, group: ConsumerGroup, joining: ClassicJoin, answer: Pending[JoinGroupResponse]) -> Decision | None:
        """Decide a classic member's join. Raises KafkaError."""
        draft = Draft(group)
        if joining.needs_id:
            classic_members.check_join(self._around(group.group_id), draft, joining)
            answer.complete(
                JoinGroupResponse(
                    error_code=ErrorCode.MEMBER_ID_REQUIRED, protocol_name=None, member_id=joining.member_id
                )
            )
            return None
        member = classic_members.join(self._around(group.group_id), draft, joining)
        group.needs_refresh = False
        response = classic_members.joined(member)

        def refuse(code: ErrorCode) -> None:
            group.needs_refresh = True
            answer.complete(JoinGroupResponse(error_code=code, protocol_name=None))

        change = self._groups.downgrade_with(draft, member)
        if change is not None:
            response.generation_id = draft.epoch
            reason = f"{member.member_id} took the place of the last other one"
            return self._changed(group, change, reason, lambda: answer.complete(response), refuse)

        def done() -> None:
            found = self._groups.find(group.group_id)
            if found is not None:
                self._timers.joined(found, member)
            answer.complete(response)

        if not draft.records:
            done()
            return None
        return self._decision(draft, done, refuse)

    def sync(self, group: ConsumerGroup, request: SyncGroupRequest, answer: Pending[SyncGroupResponse]) -> None:
        """Decide a classic member's sync. Raises KafkaError."""
        member = classic_members.find_classic(group, request)
        classic_members.check_sync(member, request)
        if classic_members.is_behind(group, member):
            self._timers.await_join(group, member)
            answer.complete(SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS))
            return
        self._timers.synced(group, member)
        answer.complete(classic_members.synced(member, request, self._image()))

    def classic_heartbeat(self, group: ConsumerGroup, request: HeartbeatRequest) -> ErrorCode:
        """Count a classic member as alive, and say whether it has to join again. Raises KafkaError."""
        member = classic_members.find_classic(group, request)
        self._timers.extend_session(group, member)
        if not classic_members.must_join(group, member):
            return ErrorCode.NONE
        self._timers.await_join(group, member)
        return ErrorCode.REBALANCE_IN_PROGRESS

    # Decisions

    def _around(self, group_id: str) -> Surroundings:
        interval_ms = self._timers.of_group(
            group_id, _ASSIGNMENT_INTERVAL, self.settings.group_consumer_assignment_interval_ms
        )
        return Surroundings(self.settings, self._image(), self._clock.wall_ms(), self._clock.monotonic_ms, interval_ms)

    def _decision(self, draft: Draft, done: Callable[[], None], refuse: Callable[[ErrorCode], None]) -> Decision:
        def on_commit() -> None:
            if draft.epoch != draft.first_epoch:
                for reason in draft.reasons:
                    self._journal.because(draft.group_id, reason)
            group = self._groups.find(draft.group_id)
            if draft.target_epoch == draft.epoch or group is None or not group.members:
                self._journal.begun(draft.group_id, draft.epoch)  # else it waits to be assigned
            done()

        return Decision(draft.records, on_commit, refuse)

    def _without(
        self,
        group: ConsumerGroup,
        members: list[ConsumerMember],
        reason: str,
        done: Callable[[], None],
        refuse: Callable[[ErrorCode], None],
    ) -> Decision:
        """Decide that members go; who stays may be classic members alone."""
        change = self._groups.downgrade(group, {member.member_id for member in members})
        if change is not None:
            return self._changed(group, change, reason, done, refuse)
        draft = Draft(group)
        heartbeats.leave(self._around(group.group_id), draft, members, reason)
        return self._decision(draft, done, refuse)

    def _changed(
        self,
        group: ConsumerGroup,
        change: Change,
        reason: str,
        done: Callable[[], None],
        refuse: Callable[[ErrorCode], None],
    ) -> Decision:
        def on_commit() -> None:
            self._journal.tell(
                f"group {group.group_id} is a classic group: {reason}, and only classic members are left"
            )
            change.follow()
            done()

        return Decision(change.records, on_commit, refuse)

    def _expire(self, group: ConsumerGroup, member: ConsumerMember, reason: str) -> Decision | None:
        """A timer has fired: the member is out."""
        if self._groups.find(group.group_id) is not group:
            return None

        def retry(_: ErrorCode) -> None:
            self._timers.extend_session(group, member)

        return self._without(group, [member], f"{member.member_id} is out: {reason}", _nothing, retry)


def _refuse(group: ConsumerGroup, answer: Answer, code: ErrorCode) -> None:
    group.needs_refresh = True
    answer.complete(ConsumerGroupHeartbeatResponse(error_code=code))


def _nothing() -> None:
    """Nobody waits for a timer's outcome."""
