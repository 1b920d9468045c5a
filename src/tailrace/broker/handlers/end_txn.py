"""EndTxn (key 26), v0-v5: commit or abort a transaction.

Behaviour: answered when the decision is in the coordinator's log; from then on nothing can undo it.
Versions: before v2 clients know INVALID_PRODUCER_EPOCH in the place of PRODUCER_FENCED; v5 raises the producer's epoch
    with every transaction, and says the new one (KIP-890).
"""

from __future__ import annotations

from typing import Final

from tailrace.base.pending import Pending
from tailrace.broker.context import RequestContext
from tailrace.broker.fencing import fenced_as_known
from tailrace.broker.services import Services
from tailrace.coordinator.transactions.coordinator import Outcome
from tailrace.coordinator.transactions.transaction import LATEST_VERSION, ProducerIdAndEpoch
from tailrace.wire.messages.end_txn import EndTxnRequest, EndTxnResponse

_FENCED_FROM: Final = 2
_BUMPS_FROM: Final = 5


def handle(services: Services, context: RequestContext, request: EndTxnRequest) -> Pending[EndTxnResponse]:
    """End the transaction."""
    later: Pending[EndTxnResponse] = Pending()

    def answer(outcome: Outcome) -> None:
        code = fenced_as_known(outcome.code, context.api_version, _FENCED_FROM)
        later.complete(EndTxnResponse(0, code, outcome.producer_id, outcome.producer_epoch))

    services.transactions.end_transaction(
        request.transactional_id,
        ProducerIdAndEpoch(request.producer_id, request.producer_epoch),
        request.committed,
        LATEST_VERSION if context.api_version >= _BUMPS_FROM else 0,
    ).on_complete(answer)
    return later
