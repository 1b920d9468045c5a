"""InitProducerId (key 22), v0-v5: an identity for an idempotent producer.

Behaviour: without a transactional id every request gets a new id with epoch 0, whatever id and epoch the producer had:
    a new id cannot be confused with what went before. Source: Kafka TransactionCoordinator.handleInitProducerId.
    With a transactional id: transactions are not served. FindCoordinator says so first; a client that comes here all
    the same gets TRANSACTIONAL_ID_AUTHORIZATION_FAILED (no transactional id is allowed here), because it is the one
    code that both librdkafka (rd_kafka_idemp_check_error) and the Java producer give up on at once. The codes of an
    absent coordinator would be asked again for ever.
Versions: v3 the producer's id and epoch (KIP-360): one without the other is INVALID_REQUEST.
"""

from __future__ import annotations

from tailrace.base.errors import ErrorCode
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse

_NONE = -1


def handle(services: Services, context: RequestContext, request: InitProducerIdRequest) -> InitProducerIdResponse:
    """Give out a producer id."""
    if (request.producer_id == _NONE) != (request.producer_epoch == _NONE) or request.transactional_id == "":
        return _refused(ErrorCode.INVALID_REQUEST)
    if request.transactional_id is not None:
        longest = services.settings.integer("transaction.max.timeout.ms")
        if not 0 < request.transaction_timeout_ms <= longest:
            return _refused(ErrorCode.INVALID_TRANSACTION_TIMEOUT)
        return _refused(ErrorCode.TRANSACTIONAL_ID_AUTHORIZATION_FAILED)
    return InitProducerIdResponse(producer_id=services.metadata.next_producer_id(), producer_epoch=0)


def _refused(code: ErrorCode) -> InitProducerIdResponse:
    return InitProducerIdResponse(error_code=code, producer_id=_NONE, producer_epoch=_NONE)
