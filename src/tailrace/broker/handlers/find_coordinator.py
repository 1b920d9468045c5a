"""FindCoordinator (key 10), v0-v6: which broker keeps a group.

Behaviour: this broker keeps every group, at the address the client dialled or the advertised one. The topic the groups
    are kept in is created by the first question.
    A transactional id is INVALID_REQUEST: transactions are not served, and this code ends a producer's initTransactions
    at once where a retriable one would keep it waiting until its timeout. So is a share group's key.
Versions:  v0 has no key type; v4 asks for several keys (KIP-699).
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import GROUP_METADATA_TOPIC
from tailrace.wire.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

_GROUP: Final = 0
_REFUSALS: Final = {
    1: "transactions are not served",
    2: "share groups are not served",
}


def handle(services: Services, context: RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    """Locate the coordinator of each key."""
    if context.api_version >= 4:
        found = [_locate(services, context, request.key_type, key) for key in request.coordinator_keys]
        return FindCoordinatorResponse(coordinators=found)
    one = _locate(services, context, request.key_type, request.key)
    message = one.error_message or "NONE"  # the word Kafka has here for a success before v4
    return FindCoordinatorResponse(0, one.error_code, message, one.node_id, one.host, one.port)


def _locate(services: Services, context: RequestContext, key_type: int, key: str) -> Coordinator:
    if key_type != _GROUP:
        message = _REFUSALS.get(key_type, f"unknown coordinator type {key_type}")
        return Coordinator(key, -1, "", -1, ErrorCode.INVALID_REQUEST, message)
    try:
        services.auto_create(GROUP_METADATA_TOPIC)
    except KafkaError as error:
        return Coordinator(key, -1, "", -1, ErrorCode.COORDINATOR_NOT_AVAILABLE, error.message)
    host, port = services.advertised(context)
    return Coordinator(key, services.node_id, host, port, ErrorCode.NONE, "")
