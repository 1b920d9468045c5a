"""SyncGroup, Heartbeat and LeaveGroup, decided. Source: Kafka's `GroupMetadataManager`, KIP-345, KIP-559, KIP-800."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.coordinator.decision import Decision
from tailrace.coordinator.groups.classic_group import NO_MEMBER_ID, ClassicGroup, GroupState
from tailrace.coordinator.groups.rebalance import Rebalance
from tailrace.coordinator.groups.records import group_record
from tailrace.wire.messages.heartbeat import HeartbeatRequest
from tailrace.wire.messages.leave_group import LeaveGroupResponse, MemberIdentity, MemberResponse
from tailrace.wire.messages.sync_group import SyncGroupRequest, SyncGroupResponse


def sync(
    rebalance: Rebalance, group: ClassicGroup, request: SyncGroupRequest, answer: Pending[SyncGroupResponse]
) -> Decision | None:
    """Decide one sync. Raises KafkaError when it is refused and nothing has changed."""
    member = group.validate_member(request.member_id, request.group_instance_id)
    group.validate_generation(member, request.generation_id)
    for asked, chosen in ((request.protocol_type, group.protocol_type), (request.protocol_name, group.protocol)):
        if asked is not None and chosen is not None and asked != chosen:
            raise KafkaError(ErrorCode.INCONSISTENT_GROUP_PROTOCOL)
    if group.state is GroupState.PREPARING_REBALANCE:
        raise KafkaError(ErrorCode.REBALANCE_IN_PROGRESS)
    rebalance.note_sync(group, member.member_id)
    if group.state is GroupState.STABLE:
        answer.complete(group.synced(member))
        return None
    group.park_sync(member, answer)
    if member.member_id != group.leader:
        return None
    return _assign(rebalance, group, request)


def _assign(rebalance: Rebalance, group: ClassicGroup, request: SyncGroupRequest) -> Decision:
    """The leader has spoken: its assignments are the group's once they are in the log."""
    assignments = {assigned.member_id: assigned.assignment for assigned in request.assignments}
    value = group.to_record(rebalance.now_ms(), group.members.values(), assignments)

    def on_commit() -> None:
        rebalance.release_syncs(group)

    def on_failure(code: ErrorCode) -> Decision | None:
        rebalance.fail_syncs(group, code)
        return rebalance.prepare(group, f"{code.name} when the assignment was stored")

    return Decision([group_record(group.group_id, value)], on_commit, on_failure)


def heartbeat(rebalance: Rebalance, group: ClassicGroup, request: HeartbeatRequest) -> ErrorCode:
    """Count a member as alive, and say whether it has to join again. Raises KafkaError for a stranger."""
    member = group.validate_member(request.member_id, request.group_instance_id)
    group.validate_generation(member, request.generation_id)
    rebalance.extend_session(group, member)
    if group.state is GroupState.PREPARING_REBALANCE:
        return ErrorCode.REBALANCE_IN_PROGRESS
    return ErrorCode.NONE


def leave(
    rebalance: Rebalance, group: ClassicGroup, leavers: list[MemberIdentity], answer: Pending[LeaveGroupResponse]
) -> Decision | None:
    """Decide a leave of several members: each is answered for itself, and at most one rebalance follows."""
    response = LeaveGroupResponse()
    leaving: list[str] = []
    for leaver in leavers:
        code = ErrorCode.NONE
        try:
            member_id = _leaving_id(group, leaver)
            if member_id in leaving:
                raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
            leaving.append(member_id)
        except KafkaError as error:
            code = error.code
        response.members.append(MemberResponse(leaver.member_id, leaver.group_instance_id, code))
    decision = rebalance.remove(group, leaving, _reason(leavers)) if leaving else None
    if decision is None:
        answer.complete(response)
        return None
    return decision.and_then(
        lambda: answer.complete(response), lambda code: answer.complete(LeaveGroupResponse(error_code=code))
    )


def refused_leave(leavers: list[MemberIdentity], code: ErrorCode) -> LeaveGroupResponse:
    """The same error for every member, as for a group that does not exist."""
    return LeaveGroupResponse(
        members=[MemberResponse(leaver.member_id, leaver.group_instance_id, code) for leaver in leavers]
    )


def _leaving_id(group: ClassicGroup, leaver: MemberIdentity) -> str:
    """The id that is to go. An instance id alone names its member: that is how an administrator removes one."""
    if leaver.member_id == NO_MEMBER_ID:
        member_id = group.static_members.get(leaver.group_instance_id or "")
        if leaver.group_instance_id is None or member_id is None:
            raise KafkaError(ErrorCode.UNKNOWN_MEMBER_ID)
        return member_id
    if leaver.member_id in group.pending_members:
        return leaver.member_id
    return group.validate_member(leaver.member_id, leaver.group_instance_id).member_id


def _reason(leavers: list[MemberIdentity]) -> str:
    told = "; ".join(f"{leaver.member_id or leaver.group_instance_id}: {leaver.reason or '-'}" for leaver in leavers)
    return f"LeaveGroup ({told})"
