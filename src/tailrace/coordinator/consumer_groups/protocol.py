"""The consumer protocol of one partition's groups: heartbeats into decisions, answers after the commit, and timers.

    session timeout     a member that is silent is out; a static member that left for a while, too
    rebalance timeout   a member that does not give up what it must is out

Every method runs in its group's turn. Source: Kafka's `GroupMetadataManager`, KIP-848.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from math import ceil
from typing import Final, Protocol

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import ResourceType
from tailrace.coordinator.consumer_groups import heartbeats
from tailrace.coordinator.consumer_groups.draft import Draft
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.heartbeats import Beat, Outcome, Surroundings
from tailrace.coordinator.consumer_groups.member import STATIC_LEAVING_EPOCH, ConsumerMember, MemberState
from tailrace.coordinator.consumer_groups.records import by_topic
from tailrace.coordinator.consumer_groups.settings import ConsumerGroupSettings
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.wire.messages.consumer_group_heartbeat import (
    Assignment,
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
    TopicPartitions,
)

_SESSION_TIMEOUT: Final = "consumer.session.timeout.ms"
_ASSIGNMENT_INTERVAL: Final = "consumer.assignment.interval.ms"
_HEARTBEAT_INTERVAL: Final = "consumer.heartbeat.interval.ms"

Answer = Pending[ConsumerGroupHeartbeatResponse]


class Groups(Protocol):
    """The groups of a partition, as the protocol reaches them."""

    def find(self, group_id: str) -> ConsumerGroup | None:
        """The consumer group of that id as it is now."""
        ...

    def deadline(self, group_id: str) -> Deadline:
        """A timer that takes the group's turn."""
        ...


class ConsumerProtocol:
    """Shared by the groups of one partition."""

    __slots__ = ("_clock", "_groups", "_image", "_report", "settings")

    def __init__(
        self,
        settings: ConsumerGroupSettings,
        clock: Clock,
        image: Callable[[], MetadataImage],
        groups: Groups,
        report: Callable[[str], None],
    ) -> None:
        self.settings = settings
        self._clock = clock
        self._image = image
        self._groups = groups
        self._report = report

    def heartbeat(
        self, group: ConsumerGroup, first: list[CoordinatorRecord], beat: Beat, answer: Answer
    ) -> Decision | None:
        """Decide a heartbeat that joins or stays; `first` are records that go before. Raises KafkaError."""
        draft = Draft(group, first)
        outcome = heartbeats.stay(self._around(group.group_id), draft, beat)
        group.needs_refresh = False
        done = partial(self._stayed, group.group_id, outcome, answer)
        if not draft.records:
            done()
            return None
        return self._decision(draft, done, partial(_refuse, group, answer))

    def leave(self, group: ConsumerGroup, request: ConsumerGroupHeartbeatRequest, answer: Answer) -> Decision:
        """Decide a leave. Raises KafkaError."""
        draft = Draft(group)
        member = heartbeats.find_leaving(draft, request)
        if request.instance_id is not None and request.member_epoch == STATIC_LEAVING_EPOCH:
            heartbeats.leave_for_a_while(draft, member)
        else:
            heartbeats.leave(self._around(group.group_id), draft, [member], f"{member.member_id} left")
        response = ConsumerGroupHeartbeatResponse(member_id=request.member_id, member_epoch=request.member_epoch)
        return self._decision(draft, lambda: answer.complete(response), partial(_refuse, group, answer))

    def remove(
        self,
        group: ConsumerGroup,
        members: list[ConsumerMember],
        done: Callable[[], None],
        refuse: Callable[[ErrorCode], None],
    ) -> Decision:
        """Decide that an administrator takes members out."""
        draft = Draft(group)
        removed = ", ".join(member.member_id for member in members)
        heartbeats.leave(self._around(group.group_id), draft, members, f"{removed} taken out by LeaveGroup")
        return self._decision(draft, done, refuse)

    def begin_sessions(self, group: ConsumerGroup) -> None:
        """The group was loaded: give every member a session timeout to show up."""
        for member in group.members.values():
            self._extend_session(group, member.member_id)
            self._watch_revocation(group, member)

    def _around(self, group_id: str) -> Surroundings:
        interval_ms = self._of_group(
            group_id, _ASSIGNMENT_INTERVAL, self.settings.group_consumer_assignment_interval_ms
        )
        return Surroundings(self.settings, self._image(), self._clock.wall_ms(), self._clock.monotonic_ms, interval_ms)

    def _decision(self, draft: Draft, done: Callable[[], None], refuse: Callable[[ErrorCode], None]) -> Decision:
        def on_commit() -> None:
            if draft.reasons and draft.epoch != draft.first_epoch:
                why = "; ".join(draft.reasons)
                self._report(f"group {draft.group_id} rebalances: epoch {draft.epoch}, {why}")
            done()

        def on_failure(code: ErrorCode) -> None:
            refuse(code)

        return Decision(draft.records, on_commit, on_failure)

    def _stayed(self, group_id: str, outcome: Outcome, answer: Answer) -> None:
        """A heartbeat is decided and in the log: its member lives on."""
        member = outcome.member
        group = self._groups.find(group_id)
        if group is not None:
            self._extend_session(group, member.member_id)
            self._watch_revocation(group, member)
        interval_ms = self._of_group(group_id, _HEARTBEAT_INTERVAL, self.settings.group_consumer_heartbeat_interval_ms)
        if outcome.returns_in_ms:
            interval_ms = min(interval_ms, ceil(outcome.returns_in_ms))
        response = ConsumerGroupHeartbeatResponse(
            member_id=member.member_id, member_epoch=member.epoch, heartbeat_interval_ms=interval_ms
        )
        if outcome.tells_assignment:
            topics = [TopicPartitions(topic, indexes) for topic, indexes in by_topic(member.assigned)]
            response.assignment = Assignment(topics)
        answer.complete(response)

    def _of_group(self, group_id: str, name: str, default: int) -> int:
        """A setting of one group, or the broker's."""
        text = self._image().configs(ResourceType.GROUP, group_id).get(name)
        return default if text is None else int(text)

    # Timers

    def _extend_session(self, group: ConsumerGroup, member_id: str) -> None:
        delay_ms = self._of_group(group.group_id, _SESSION_TIMEOUT, self.settings.group_consumer_session_timeout_ms)
        session = group.sessions.get(member_id)
        if session is not None and session.is_set:
            session.extend(delay_ms)
            return
        session = group.sessions[member_id] = session or self._groups.deadline(group.group_id)
        session.set(delay_ms, partial(self._expire, group, member_id, None, "its session timed out"))

    def _watch_revocation(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        """A member that has to give partitions up has its rebalance timeout to do it in."""
        deadline = group.rebalance_deadlines.get(member.member_id)
        if member.state is not MemberState.UNREVOKED_PARTITIONS:
            if deadline is not None:
                deadline.clear()
            return
        if deadline is None:
            deadline = group.rebalance_deadlines[member.member_id] = self._groups.deadline(group.group_id)
        if not deadline.is_set:
            reason = "it did not give up its partitions within the rebalance timeout"
            expire = partial(self._expire, group, member.member_id, member.epoch, reason)
            deadline.set(max(member.rebalance_timeout_ms, 0), expire)

    def _expire(self, group: ConsumerGroup, member_id: str, epoch: int | None, reason: str) -> Decision | None:
        """A timer has fired: the member is out, unless it went on."""
        member = group.members.get(member_id)
        if member is None or self._groups.find(group.group_id) is not group:
            return None
        if epoch is not None and (member.epoch != epoch or member.state is not MemberState.UNREVOKED_PARTITIONS):
            return None
        draft = Draft(group)
        heartbeats.leave(self._around(group.group_id), draft, [member], f"{member_id} is out: {reason}")

        def retry(_: ErrorCode) -> None:
            self._extend_session(group, member_id)

        return self._decision(draft, _nothing, retry)


def _refuse(group: ConsumerGroup, answer: Answer, code: ErrorCode) -> None:
    group.needs_refresh = True
    answer.complete(ConsumerGroupHeartbeatResponse(error_code=code))


def _nothing() -> None:
    """Nobody waits for a timer's outcome."""
