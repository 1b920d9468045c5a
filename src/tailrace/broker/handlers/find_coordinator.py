"""FindCoordinator (key 10), v0-v6: which broker keeps a group, a transactional id or a share partition's state.

Behaviour: the leader of the partition that a key belongs to keeps it. The topic they are kept in is created by the
    first question. A share partition's key is `group:topic id:partition`, another one
    INVALID_REQUEST. While the partition of a key is offline or has no leader: COORDINATOR_NOT_AVAILABLE.
Versions:  v0 has no key type; v4 asks for several keys (KIP-699); v6 share partitions (KIP-932).
"""

from __future__ import annotations

from base64 import urlsafe_b64decode
from binascii import Error as NotBase64
from collections.abc import Callable
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending, mapped
from tailrace.broker.addresses import broker_addresses
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import GROUP_METADATA_TOPIC, SHARE_GROUP_STATE_TOPIC, TRANSACTION_STATE_TOPIC
from tailrace.wire.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

_TOPICS: Final = {0: GROUP_METADATA_TOPIC, 1: TRANSACTION_STATE_TOPIC, 2: SHARE_GROUP_STATE_TOPIC}
"""Kind of key -> the topic its coordinators' state is in."""


def handle(
    services: Services, context: RequestContext, request: FindCoordinatorRequest
) -> FindCoordinatorResponse | Pending[FindCoordinatorResponse]:
    """Locate the coordinator of each key."""
    topic = _TOPICS.get(request.key_type)
    if topic is None:
        message = f"unknown coordinator type {request.key_type}"
        return _response(context, request, lambda key: _nowhere(key, ErrorCode.INVALID_REQUEST, message))

    def respond(refused: dict[str, KafkaError]) -> FindCoordinatorResponse:
        error = refused.get(topic)
        if error is not None:
            return _response(
                context, request, lambda key: _nowhere(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, error.message)
            )
        return _response(context, request, lambda key: _locate(services, context, topic, key))

    found = mapped(services.auto_create(topic), respond)
    return found.value if found.done else found


def _response(
    context: RequestContext, request: FindCoordinatorRequest, locate: Callable[[str], Coordinator]
) -> FindCoordinatorResponse:
    if context.api_version >= 4:
        return FindCoordinatorResponse(coordinators=[locate(key) for key in request.coordinator_keys])
    one = locate(request.key)
    message = one.error_message or "NONE"  # the word Kafka has here for a success before v4
    return FindCoordinatorResponse(0, one.error_code, message, one.node_id, one.host, one.port)


def _nowhere(key: str, code: ErrorCode, message: str | None) -> Coordinator:
    return Coordinator(key, -1, "", -1, code, message)


def _locate(services: Services, context: RequestContext, topic: str, key: str) -> Coordinator:
    if topic == SHARE_GROUP_STATE_TOPIC and not _is_share_key(key):
        return _nowhere(key, ErrorCode.INVALID_REQUEST, f"{key} is not of the form group:topic id:partition")
    index = _partition_of(services, topic, key)
    if services.partitions.is_offline(topic, index):
        message = f"The log directory that keeps {key} is offline."
        return _nowhere(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, message)
    image = services.metadata.image.partition(topic, index)
    leader = -1 if image is None else image.leader
    for broker in broker_addresses(services, context):
        if broker.broker_id == leader:
            return Coordinator(key, leader, broker.host, broker.port, ErrorCode.NONE, "")
    return _nowhere(key, ErrorCode.COORDINATOR_NOT_AVAILABLE, "The partition that keeps it has no leader.")


def _partition_of(services: Services, topic: str, key: str) -> int:
    if topic == GROUP_METADATA_TOPIC:
        return services.groups.partition_for(key)
    if topic == TRANSACTION_STATE_TOPIC:
        return services.transactions.partition_for(key)
    return services.share_states.partition_for(key)


def _is_share_key(key: str) -> bool:
    """Whether `key` is of the form `group:topic id:partition`. Source: Kafka SharePartitionKey."""
    group_id, _, rest = key.partition(":")
    topic_id, _, index = rest.partition(":")
    try:
        return bool(group_id) and len(urlsafe_b64decode(topic_id + "==")) == 16 and int(index) >= 0
    except (NotBase64, ValueError):
        return False
