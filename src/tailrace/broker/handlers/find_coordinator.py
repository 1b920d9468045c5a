"""FindCoordinator (key 10), v0-v6: which broker keeps a group or a transactional id.

Behaviour: this broker keeps all of them, at the address the client dialled or the advertised one. The topic they are
    kept in is created by the first question. A share group's key is INVALID_REQUEST: they are not served. While
    the partition of a key is offline: COORDINATOR_NOT_AVAILABLE.
Versions:  v0 has no key type; v4 asks for several keys (KIP-699).
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.image import GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC
from tailrace.wire.messages.find_coordinator import Coordinator, FindCoordinatorRequest, FindCoordinatorResponse

_TOPICS: Final = {0: GROUP_METADATA_TOPIC, 1: TRANSACTION_STATE_TOPIC}
"""Kind of key -> the topic its coordinators' state is in."""
_REFUSALS: Final = {2: "share groups are not served"}


def handle(services: Services, context: RequestContext, request: FindCoordinatorRequest) -> FindCoordinatorResponse:
    """Locate the coordinator of each key."""
    if context.api_version >= 4:
        found = [_locate(services, context, request.key_type, key) for key in request.coordinator_keys]
        return FindCoordinatorResponse(coordinators=found)
    one = _locate(services, context, request.key_type, request.key)
    message = one.error_message or "NONE"  # the word Kafka has here for a success before v4
    return FindCoordinatorResponse(0, one.error_code, message, one.node_id, one.host, one.port)


def _locate(services: Services, context: RequestContext, key_type: int, key: str) -> Coordinator:
    topic = _TOPICS.get(key_type)
    if topic is None:
        message = _REFUSALS.get(key_type, f"unknown coordinator type {key_type}")
        return Coordinator(key, -1, "", -1, ErrorCode.INVALID_REQUEST, message)
    try:
        services.auto_create(topic)
    except KafkaError as error:
        return Coordinator(key, -1, "", -1, ErrorCode.COORDINATOR_NOT_AVAILABLE, error.message)
    except StorageError as error:
        services.on_storage_error(error)
        return Coordinator(key, -1, "", -1, ErrorCode.COORDINATOR_NOT_AVAILABLE, str(error))
    if services.partitions.offline and _is_offline(services, topic, key):
        message = f"The log directory that keeps {key} is offline."
        return Coordinator(key, -1, "", -1, ErrorCode.COORDINATOR_NOT_AVAILABLE, message)
    host, port = services.advertised(context)
    return Coordinator(key, services.node_id, host, port, ErrorCode.NONE, "")


def _is_offline(services: Services, topic: str, key: str) -> bool:
    keys = services.groups if topic == GROUP_METADATA_TOPIC else services.transactions
    return services.partitions.is_offline(topic, keys.partition_for(key))
