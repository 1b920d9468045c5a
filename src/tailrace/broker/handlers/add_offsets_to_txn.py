"""AddOffsetsToTxn (key 25), v0-v4: the partition that keeps a group's offsets joins the producer's transaction.

Behaviour: that is all; the offsets follow by TxnOffsetCommit. Clients of transactions v2 leave this request out.
Versions: before v2 clients know INVALID_PRODUCER_EPOCH in the place of PRODUCER_FENCED.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.context import RequestContext
from tailrace.broker.fencing import fenced_as_known
from tailrace.broker.services import Services
from tailrace.cluster.image import GROUP_METADATA_TOPIC
from tailrace.coordinator.transactions.transaction import ProducerIdAndEpoch
from tailrace.wire.messages.add_offsets_to_txn import AddOffsetsToTxnRequest, AddOffsetsToTxnResponse

_FENCED_FROM: Final = 2


def handle(
    services: Services, context: RequestContext, request: AddOffsetsToTxnRequest
) -> Pending[AddOffsetsToTxnResponse]:
    """Add the group's partition."""
    later: Pending[AddOffsetsToTxnResponse] = Pending()

    def answer(code: ErrorCode) -> None:
        code = fenced_as_known(code, context.api_version, _FENCED_FROM)
        later.complete(AddOffsetsToTxnResponse(error_code=code))

    partition = TopicPartition(GROUP_METADATA_TOPIC, services.groups.partition_for(request.group_id))
    producer = ProducerIdAndEpoch(request.producer_id, request.producer_epoch)
    services.transactions.add_partitions(request.transactional_id, producer, frozenset({partition}), 0).on_complete(
        answer
    )
    return later
