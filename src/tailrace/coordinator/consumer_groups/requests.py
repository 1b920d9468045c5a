"""What a ConsumerGroupHeartbeat must say. Source: Kafka's `GroupCoordinatorService`, KIP-848, KIP-1082."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.coordinator.consumer_groups.member import JOINING_EPOCH, LEAVING_EPOCH, STATIC_LEAVING_EPOCH
from tailrace.wire.messages.consumer_group_heartbeat import (
    ConsumerGroupHeartbeatRequest,
    ConsumerGroupHeartbeatResponse,
)

OWN_MEMBER_ID_FROM: Final = 1
"""From this version on members choose their ids themselves."""


def check_heartbeat(request: ConsumerGroupHeartbeatRequest, api_version: int, assignors: Container[str]) -> None:
    """Raise INVALID_REQUEST or UNSUPPORTED_ASSIGNOR for what no member may say."""
    epoch = request.member_epoch
    if not request.group_id.strip():
        raise _invalid("GroupId can't be empty.")
    needs_id = api_version >= OWN_MEMBER_ID_FROM or epoch > 0 or epoch == LEAVING_EPOCH
    if needs_id and not request.member_id.strip():
        raise _invalid("MemberId can't be empty.")
    if request.instance_id is not None and not request.instance_id.strip():
        raise _invalid("InstanceId can't be empty.")
    if request.rack_id is not None and not request.rack_id.strip():
        raise _invalid("RackId can't be empty.")
    if epoch == JOINING_EPOCH:
        _check_join(request)
    elif epoch == STATIC_LEAVING_EPOCH and request.instance_id is None:
        raise _invalid("InstanceId can't be null.")
    elif epoch < STATIC_LEAVING_EPOCH:
        raise _invalid(f"MemberEpoch is {epoch}, but must be greater than or equal to -2.")
    if request.server_assignor is not None and request.server_assignor not in assignors:
        raise KafkaError(ErrorCode.UNSUPPORTED_ASSIGNOR, f"ServerAssignor {request.server_assignor} is not supported.")


def refused_heartbeat(error: KafkaError) -> ConsumerGroupHeartbeatResponse:
    """A heartbeat's answer with an error, and its words where there are any."""
    return ConsumerGroupHeartbeatResponse(error_code=error.code, error_message=str(error) or None)


def _check_join(request: ConsumerGroupHeartbeatRequest) -> None:
    if request.rebalance_timeout_ms == -1:
        raise _invalid("RebalanceTimeoutMs must be provided in first request.")
    if request.topic_partitions is None or request.topic_partitions:
        raise _invalid("TopicPartitions must be empty when (re-)joining.")
    if request.subscribed_topic_names is None and request.subscribed_topic_regex is None:
        raise _invalid("SubscribedTopicNames or SubscribedTopicRegex must be given when (re-)joining.")


def _invalid(message: str) -> KafkaError:
    return KafkaError(ErrorCode.INVALID_REQUEST, message)
