"""JoinGroup, decided: who may come in, under which id, and whether that means a rebalance.

    new, dynamic, v4+    gets an id and MEMBER_ID_REQUIRED; the id waits to come back (KIP-394)
    new, dynamic, v0-v3  is let in at once: such clients would never come back with the id
    new, static          takes the place of the member with its instance id, if there is one (KIP-345)
    known                same metadata: told the present generation; changed, or the leader: rebalance

Source: Kafka's `GroupMetadataManager.classicGroupJoin`, KIP-814 for `skip_assignment`, KIP-800 for reasons.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.rand import Random
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.groups.classic_group import NO_MEMBER_ID, ClassicGroup, GroupState, refused_join
from tailrace.coordinator.groups.member import Member, Protocols, most_wanted_protocol
from tailrace.coordinator.groups.rebalance import Rebalance
from tailrace.coordinator.groups.records import group_record
from tailrace.wire.messages.join_group import JoinGroupRequest, JoinGroupResponse

_MEMBER_ID_REQUIRED_FROM: Final = 4
_SKIP_ASSIGNMENT_FROM: Final = 9


class Caller(NamedTuple):
    """Who sent a request, and in which version of it."""

    api_version: int
    client_id: str
    client_host: str


class Join:
    """One JoinGroup request on its way through."""

    __slots__ = ("answer", "caller", "protocols", "request")

    def __init__(self, request: JoinGroupRequest, caller: Caller, answer: Pending[JoinGroupResponse]) -> None:
        self.request = request
        self.caller = caller
        self.answer = answer
        self.protocols: Protocols = [(protocol.name, protocol.metadata) for protocol in request.protocols]

    def fill(self, member: Member) -> None:
        """Give `member` what the request says about it, except for its protocols."""
        request = self.request
        member.session_timeout_ms = request.session_timeout_ms
        asked_ms = request.rebalance_timeout_ms
        member.rebalance_timeout_ms = request.session_timeout_ms if asked_ms == -1 else asked_ms  # v0 has no such field
        member.client_id = self.caller.client_id
        member.client_host = self.caller.client_host

    def reason(self, what: str, member_id: str) -> str:
        """Why this join makes a rebalance, for people."""
        told = self.request.reason
        return f"{what} {member_id}" + (f"; client reason: {told}" if told else "")


def join(rebalance: Rebalance, group: ClassicGroup, join: Join, random: Random) -> Decision | None:
    """Decide one join. Raises KafkaError when it is refused and nothing has changed."""
    request = join.request
    if not group.accepts(request.member_id, rebalance.settings.group_max_size):
        join.answer.complete(refused_join(ErrorCode.GROUP_MAX_SIZE_REACHED))
        leaving = request.member_id in group.members or request.member_id in group.pending_members
        return rebalance.remove(group, [request.member_id], "group.max.size reached") if leaving else None
    if not group.supports(request.protocol_type, join.protocols):
        raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    if request.member_id == NO_MEMBER_ID:
        return _join_unknown(rebalance, group, join, random)
    if request.member_id in group.pending_members:
        if request.group_instance_id is not None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID, "a pending id belongs to a dynamic member")
        return _add(rebalance, group, join, request.member_id)
    return _join_known(rebalance, group, join)


def _join_unknown(rebalance: Rebalance, group: ClassicGroup, join: Join, random: Random) -> Decision | None:
    request = join.request
    instance = request.group_instance_id
    member_id = f"{join.caller.client_id if instance is None else instance}-{random.uuid()}"
    if instance is not None and instance in group.static_members:
        return _rejoin_static(rebalance, group, join, member_id)
    if instance is None and join.caller.api_version >= _MEMBER_ID_REQUIRED_FROM:
        rebalance.add_pending(group, member_id, request.session_timeout_ms)
        join.answer.complete(refused_join(ErrorCode.MEMBER_ID_REQUIRED, member_id))
        return None
    return _add(rebalance, group, join, member_id)


def _add(rebalance: Rebalance, group: ClassicGroup, join: Join, member_id: str) -> Decision | None:
    member = Member(member_id, join.request.group_instance_id, join.protocols)
    join.fill(member)
    member.is_new = True
    if group.state is GroupState.PREPARING_REBALANCE and group.previous_state is GroupState.EMPTY:
        group.new_member_added = True
    group.add(member, join.request.protocol_type)
    group.park_join(member, join.answer)
    rebalance.begin_membership(group, member)
    return rebalance.prepare(group, join.reason("joined:", member_id))


def _join_known(rebalance: Rebalance, group: ClassicGroup, join: Join) -> Decision | None:
    request = join.request
    member = group.validate_member(request.member_id, request.group_instance_id)
    is_same = member.protocols == join.protocols
    if group.state is GroupState.COMPLETING_REBALANCE and is_same:
        # It may not have received the answer to its join: tell it again.
        join.answer.complete(group.joined(member))
        return None
    if group.state is GroupState.STABLE and is_same and member.member_id != group.leader:
        join.answer.complete(group.joined(member))
        return None
    assert group.state is not GroupState.EMPTY, "an empty group has a member"
    group.change_protocols(member, join.protocols)
    join.fill(member)
    group.park_join(member, join.answer)
    is_answering = group.state is GroupState.PREPARING_REBALANCE
    return rebalance.prepare(group, "" if is_answering else join.reason("joined again:", member.member_id))


def _rejoin_static(rebalance: Rebalance, group: ClassicGroup, join: Join, member_id: str) -> Decision | None:
    """A static member came back without its id: a new process in the old one's place."""
    instance = join.request.group_instance_id
    assert instance is not None
    old_member_id = group.static_members[instance]
    member = group.members[old_member_id].renamed(member_id)
    member.protocols = join.protocols
    join.fill(member)
    if group.state is GroupState.STABLE:
        wanted = most_wanted_protocol([each.protocols for each in group.members_with(member)])
        if wanted == group.protocol:
            return _replace_quietly(rebalance, group, join, member)
    group.replace_static(old_member_id, member)
    group.park_join(member, join.answer)
    rebalance.extend_session(group, member)
    return rebalance.prepare(group, join.reason("static member came back:", member_id))


def _replace_quietly(rebalance: Rebalance, group: ClassicGroup, join: Join, member: Member) -> Decision:
    """No rebalance: record the new id with the old assignment. The old member stays until that is committed."""
    members = group.members_with(member)
    assignments = {other.member_id: other.assignment for other in members}
    old_leader = group.leader
    group.staged_member = member

    def on_commit() -> None:
        group.staged_member = None
        rebalance.extend_session(group, member)
        response = group.joined(member)
        if join.caller.api_version >= _SKIP_ASSIGNMENT_FROM:
            response.skip_assignment = member.member_id == group.leader
        else:
            # Naming its former id as leader keeps an older client from assigning partitions nobody asked for.
            response.leader, response.members = old_leader or NO_MEMBER_ID, []
        join.answer.complete(response)

    def on_failure(code: ErrorCode) -> None:
        group.staged_member = None
        join.answer.complete(refused_join(code))

    value = group.to_record(rebalance.now_ms(), members, assignments)
    return Decision([group_record(group.group_id, value)], on_commit, on_failure)
