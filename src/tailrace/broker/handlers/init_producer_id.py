"""InitProducerId (key 22), v0-v5: an identity for an idempotent or transactional producer.

Behaviour: without a transactional id every request gets a new id with epoch 0, whatever id and epoch the producer had:
    a new id cannot be confused with what went before. With one, the coordinator fences whoever used it before.
    Source: Kafka TransactionCoordinator.handleInitProducerId.
Versions: v3 the producer's id and epoch (KIP-360): one without the other is INVALID_REQUEST; before v4 clients know
    INVALID_PRODUCER_EPOCH in the place of PRODUCER_FENCED.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.fencing import fenced_as_known
from tailrace.broker.services import Services
from tailrace.coordinator.transactions.coordinator import Outcome
from tailrace.coordinator.transactions.transaction import ProducerIdAndEpoch
from tailrace.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

_NONE: Final = -1
_FENCED_FROM: Final = 4


def handle(
    services: Services, context: RequestContext, request: InitProducerIdRequest
) -> InitProducerIdResponse | Pending[InitProducerIdResponse]:
    """Give out a producer id, or the next epoch of one."""
    if (request.producer_id == _NONE) != (request.producer_epoch == _NONE):
        return InitProducerIdResponse(0, ErrorCode.INVALID_REQUEST, _NONE, _NONE)
    if request.transactional_id is None:
        return InitProducerIdResponse(producer_id=services.metadata.next_producer_id(), producer_epoch=0)
    expected = None
    if request.producer_id != _NONE:
        expected = ProducerIdAndEpoch(request.producer_id, request.producer_epoch)
    later: Pending[InitProducerIdResponse] = Pending()

    def answer(outcome: Outcome) -> None:
        code = fenced_as_known(outcome.code, context.api_version, _FENCED_FROM)
        later.complete(InitProducerIdResponse(0, code, outcome.producer_id, outcome.producer_epoch))

    services.transactions.init_producer_id(
        request.transactional_id, request.transaction_timeout_ms, expected
    ).on_complete(answer)
    return later
