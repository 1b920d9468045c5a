"""InitProducerId (key 22), v0-v5: an identity for an idempotent or transactional producer.

Behaviour: without a transactional id every request gets a new id with epoch 0, whatever id and epoch the producer had:
    a new id cannot be confused with what went before. With one, the coordinator fences whoever used it before.
    Source: Kafka TransactionCoordinator.handleInitProducerId.
Versions: v3 the producer's id and epoch (KIP-360): one without the other is INVALID_REQUEST; before v4 clients know
    INVALID_PRODUCER_EPOCH in the place of PRODUCER_FENCED.
"""

from __future__ import annotations

from functools import partial
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending, completed, mapped
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
    answered = mapped(_identity(services, request), partial(_response, context))
    return answered.value if answered.done else answered


def _response(context: RequestContext, outcome: Outcome) -> InitProducerIdResponse:
    code = fenced_as_known(outcome.code, context.api_version, _FENCED_FROM)
    return InitProducerIdResponse(0, code, outcome.producer_id, outcome.producer_epoch)


def _identity(services: Services, request: InitProducerIdRequest) -> Pending[Outcome]:
    """The outcome of a first try; or, where it failed for want of a producer id, of a second, when there are some."""
    later: Pending[Outcome] = Pending()

    def on_first(outcome: Outcome) -> None:
        if outcome.code is not ErrorCode.COORDINATOR_LOAD_IN_PROGRESS or services.metadata.producer_ids.are_ready:
            later.complete(outcome)
        else:
            services.producer_ids_ready().on_complete(on_ids)

    def on_ids(refusal: KafkaError | None) -> None:
        if refusal is not None:
            later.complete(Outcome(refusal.code))
        else:
            _attempt(services, request).on_complete(later.complete)

    _attempt(services, request).on_complete(on_first)
    return later


def _attempt(services: Services, request: InitProducerIdRequest) -> Pending[Outcome]:
    if request.transactional_id is None:
        try:
            return completed(Outcome(ErrorCode.NONE, services.metadata.producer_ids.take(), 0))
        except KafkaError as error:
            return completed(Outcome(error.code))
    expected = None
    if request.producer_id != _NONE:
        expected = ProducerIdAndEpoch(request.producer_id, request.producer_epoch)
    timeout_ms = request.transaction_timeout_ms
    return services.transactions.init_producer_id(request.transactional_id, timeout_ms, expected)
