"""What a ShareGroupHeartbeat must say. Source: Kafka's `GroupCoordinatorService`, KIP-932."""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.coordinator.share_groups.member import JOINING_EPOCH, LEAVING_EPOCH
from tailrace.wire.messages.share_group_heartbeat import ShareGroupHeartbeatRequest, ShareGroupHeartbeatResponse


def check_heartbeat(request: ShareGroupHeartbeatRequest) -> None:
    """Raise INVALID_REQUEST for what no member may say."""
    if not request.member_id.strip():
        raise _invalid("MemberId can't be empty.")
    if not request.group_id.strip():
        raise _invalid("GroupId can't be empty.")
    if request.rack_id is not None and not request.rack_id.strip():
        raise _invalid("RackId can't be empty.")
    if request.member_epoch == JOINING_EPOCH:
        if not request.subscribed_topic_names:
            raise _invalid("SubscribedTopicNames must be set in first request.")
    elif request.member_epoch < LEAVING_EPOCH:
        raise _invalid("MemberEpoch is invalid.")


def refused_heartbeat(error: KafkaError) -> ShareGroupHeartbeatResponse:
    """A heartbeat's answer with an error, and its words where there are any."""
    return ShareGroupHeartbeatResponse(error_code=error.code, error_message=str(error) or None)


def _invalid(message: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, message)
