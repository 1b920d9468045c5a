"""Removing a broker from a cluster: not while it is alive, and not while partitions name it, unless that is meant.

Not its business: moving its replicas. Source: UnregisterBroker (KIP-500).
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode, TailraceError
from tailrace.client.plain_requests import PlainRequests
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.metadata import MetadataRequest
from tailrace.wire.messages.unregister_broker import UnregisterBrokerRequest


async def remove(asks: PlainRequests, broker_id: int, *, force: bool) -> None:
    """Have the cluster forget it. Raises TailraceError, one sentence, where it refuses or is not asked."""
    if not force:
        held = await _held(asks, broker_id)
        if held:
            raise TailraceError(
                f"broker {broker_id} holds replicas of {len(held)} partitions, such as {held[0]}: move them to other "
                "brokers first, or give --force to lose them"
            )
    answer = await asks.ask(ApiKey.UNREGISTER_BROKER, UnregisterBrokerRequest(broker_id))
    if answer.error_code:
        reason = answer.error_message or ErrorCode(answer.error_code).name
        raise TailraceError(f"broker {broker_id} was not removed: {reason}")


async def _held(asks: PlainRequests, broker_id: int) -> list[str]:
    """Partitions that name it."""
    answer = await asks.ask(ApiKey.METADATA, MetadataRequest(None))
    return [
        f"{topic.name}-{partition.partition_index}"
        for topic in answer.topics
        for partition in topic.partitions
        if broker_id in partition.replica_nodes
    ]
