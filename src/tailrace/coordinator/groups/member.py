"""One member of a classic group: who it is, what it can speak, what it was given, and which answer it waits for."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final

from tailrace.base.pending import Pending
from tailrace.coordinator.deadline import Deadline
from tailrace.wire.group_records.group_metadata import MemberMetadata
from tailrace.wire.messages.describe_groups import DescribedGroupMember
from tailrace.wire.messages.join_group import JoinGroupResponse, JoinGroupResponseMember
from tailrace.wire.messages.sync_group import SyncGroupResponse

NO_GENERATION: Final = -1

Protocols = list[tuple[str, bytes]]
"""(assignor name, subscription bytes), most wanted first."""


class Member:
    """Plain state; `ClassicGroup` keeps its counters in step, so change a member through its group."""

    __slots__ = (
        "assignment",
        "client_host",
        "client_id",
        "earlier_generation",
        "group_instance_id",
        "is_new",
        "join_answer",
        "member_id",
        "protocols",
        "rebalance_timeout_ms",
        "session",
        "session_timeout_ms",
        "sync_answer",
    )

    def __init__(self, member_id: str, group_instance_id: str | None, protocols: Protocols) -> None:
        self.member_id = member_id
        self.group_instance_id = group_instance_id
        self.protocols = protocols
        self.client_id = ""
        self.client_host = ""
        self.rebalance_timeout_ms = 0
        self.session_timeout_ms = 0
        self.assignment = b""
        self.earlier_generation = NO_GENERATION
        """What it goes by in the rebalance that made a consumer group classic: its epoch there may be an older one."""
        self.is_new = False
        """Whether it never completed a join: then even a waiting join does not keep it alive for ever."""
        self.join_answer: Pending[JoinGroupResponse] | None = None
        self.sync_answer: Pending[SyncGroupResponse] | None = None
        self.session: Deadline | None = None

    def metadata(self, protocol: str | None) -> bytes:
        """The subscription it sent for `protocol`; empty when it does not speak it."""
        for name, metadata in self.protocols:
            if name == protocol:
                return metadata
        return b""

    @property
    def is_waiting(self) -> bool:
        """Whether it has a request parked here: proof of life, for one that joined before."""
        return not self.is_new and (self.join_answer is not None or self.sync_answer is not None)

    def to_record(self, protocol: str | None, assignment: bytes) -> MemberMetadata:
        """Its part of the group's record, with the assignment it is to have."""
        return MemberMetadata(
            member_id=self.member_id,
            group_instance_id=self.group_instance_id,
            client_id=self.client_id,
            client_host=self.client_host,
            rebalance_timeout=self.rebalance_timeout_ms,
            session_timeout=self.session_timeout_ms,
            subscription=self.metadata(protocol),
            assignment=assignment,
        )

    @classmethod
    def from_record(cls, value: MemberMetadata, protocol: str) -> Member:
        """A member as the log knows it: it speaks the protocol the group had chosen, and no other."""
        member = cls(value.member_id, value.group_instance_id, [(protocol, value.subscription)])
        member.client_id = value.client_id
        member.client_host = value.client_host
        member.session_timeout_ms = value.session_timeout
        member.rebalance_timeout_ms = (
            value.session_timeout if value.rebalance_timeout == -1 else value.rebalance_timeout
        )
        member.assignment = value.assignment
        return member

    def renamed(self, member_id: str) -> Member:
        """The same static member under a new id, without parked requests or timer (KIP-345)."""
        member = Member(member_id, self.group_instance_id, self.protocols)
        member.client_id, member.client_host = self.client_id, self.client_host
        member.rebalance_timeout_ms, member.session_timeout_ms = self.rebalance_timeout_ms, self.session_timeout_ms
        member.assignment = self.assignment
        return member

    def joined(self, protocol: str | None) -> JoinGroupResponseMember:
        """Its line in the leader's answer."""
        return JoinGroupResponseMember(self.member_id, self.group_instance_id, self.metadata(protocol))

    def described(self, protocol: str | None) -> DescribedGroupMember:
        """Its line in DescribeGroups; `protocol` None leaves the subscription out, as Kafka does unless Stable."""
        return DescribedGroupMember(
            member_id=self.member_id,
            group_instance_id=self.group_instance_id,
            client_id=self.client_id,
            client_host=self.client_host,
            member_metadata=self.metadata(protocol),
            member_assignment=self.assignment,
        )


def most_wanted_protocol(spoken: Sequence[Sequence[tuple[str, bytes]]]) -> str:
    """The protocol with most votes among those every voter speaks, one list a voter. Ties go to the earliest vote's."""
    common = set.intersection(*({name for name, _ in protocols} for protocols in spoken))
    votes = Counter(next(name for name, _ in protocols if name in common) for protocols in spoken)
    return votes.most_common(1)[0][0]
