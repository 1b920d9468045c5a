"""The timers of a consumer group's members: each ends with the member out of the group.

    session      a member that is silent is out; a static member that left for a while, too
    rebalance    a member that does not do in its rebalance timeout what a rebalance asks of it: give partitions up,
                 or, if it is a classic one, join again
    sync         a classic member that joined and does not come for its assignment

Source: Kafka's `GroupMetadataManager`, KIP-848.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Final, Protocol

from tailrace.cluster.image import MetadataImage
from tailrace.cluster.records import ResourceType
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.member import ConsumerMember, MemberState
from tailrace.coordinator.consumer_groups.settings import ConsumerGroupSettings
from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.decision import Decision, Operation

_SESSION_TIMEOUT: Final = "consumer.session.timeout.ms"

Expire = Callable[[ConsumerGroup, ConsumerMember, str], Decision | None]
"""Takes a member out, with the reason."""


class NewDeadline(Protocol):
    """Makes a timer that takes a group's turn."""

    def __call__(self, group_id: str) -> Deadline:
        """For the group of that id."""
        ...


class MemberTimers:
    """Shared by the groups of one partition."""

    __slots__ = ("_deadline", "_expire", "_image", "_settings")

    def __init__(
        self,
        settings: ConsumerGroupSettings,
        image: Callable[[], MetadataImage],
        deadline: NewDeadline,
        expire: Expire,
    ) -> None:
        self._settings = settings
        self._image = image
        self._deadline = deadline
        self._expire = expire

    def begin(self, group: ConsumerGroup) -> None:
        """The group was loaded, or made from a classic one: every member has a session timeout to show up."""
        for member in group.members.values():
            self.extend_session(group, member)
            self.watch_revocation(group, member)

    def extend_session(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        """The member is alive: count its session timeout from this moment."""
        if member.classic is not None:
            delay_ms = member.classic.session_timeout_ms
        else:
            delay_ms = self.of_group(group.group_id, _SESSION_TIMEOUT, self._settings.group_consumer_session_timeout_ms)
        session = group.sessions.get(member.member_id)
        if session is not None and session.is_set:
            session.extend(delay_ms)
            return
        session = group.sessions[member.member_id] = session or self._deadline(group.group_id)
        session.set(delay_ms, self._out(group, member.member_id, "its session timed out"))

    def watch_revocation(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        """A member that has to give partitions up has its rebalance timeout to do it in."""
        if member.classic is not None:
            return
        deadline = group.rebalance_deadlines.get(member.member_id)
        if member.state is not MemberState.UNREVOKED_PARTITIONS:
            if deadline is not None:
                deadline.clear()
            return
        deadline = self._of_member(group, group.rebalance_deadlines, member.member_id)
        if not deadline.is_set:
            deadline.set(max(member.rebalance_timeout_ms, 0), partial(self._not_revoked, group, member))

    def await_join(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        """A classic member was told to join again: it has its rebalance timeout, from the first time it was told."""
        deadline = self._of_member(group, group.rebalance_deadlines, member.member_id)
        if not deadline.is_set:
            reason = "it did not join again within the rebalance timeout"
            deadline.set(max(member.rebalance_timeout_ms, 0), self._out(group, member.member_id, reason))

    def joined(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        """A classic member joined: it has its rebalance timeout to come for its assignment."""
        self.extend_session(group, member)
        awaited = group.rebalance_deadlines.get(member.member_id)
        if awaited is not None:
            awaited.clear()
        reason = "it did not sync within the rebalance timeout"
        self._of_member(group, group.sync_deadlines, member.member_id).set(
            max(member.rebalance_timeout_ms, 0), self._out(group, member.member_id, reason)
        )

    def synced(self, group: ConsumerGroup, member: ConsumerMember) -> None:
        """A classic member came for its assignment."""
        self.extend_session(group, member)
        awaited = group.sync_deadlines.get(member.member_id)
        if awaited is not None:
            awaited.clear()

    def of_group(self, group_id: str, name: str, default: int) -> int:
        """A setting of one group, or the broker's."""
        text = self._image().configs(ResourceType.GROUP, group_id).get(name)
        return default if text is None else int(text)

    def _of_member(self, group: ConsumerGroup, deadlines: dict[str, Deadline], member_id: str) -> Deadline:
        deadline = deadlines.get(member_id)
        if deadline is None:
            deadline = deadlines[member_id] = self._deadline(group.group_id)
        return deadline

    def _out(self, group: ConsumerGroup, member_id: str, reason: str) -> Operation:
        def operation() -> Decision | None:
            member = group.members.get(member_id)
            return None if member is None else self._expire(group, member, reason)

        return operation

    def _not_revoked(self, group: ConsumerGroup, watched: ConsumerMember) -> Decision | None:
        member = group.members.get(watched.member_id)
        if member is None or member.epoch != watched.epoch or member.state is not MemberState.UNREVOKED_PARTITIONS:
            return None
        return self._expire(group, member, "it did not give up its partitions within the rebalance timeout")
