"""ListTransactions (key 66), v0-v2: the transactional ids of this broker, all or filtered (KIP-664).

Versions: v1 how long a transaction is open (KIP-994); v2 a regular expression for the id, which must match the whole
    of it (KIP-1152): one that is none, or too large, is INVALID_REGULAR_EXPRESSION.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.patterns import Pattern, PatternError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.coordinator.transactions.listing import Filters
from tailrace.coordinator.transactions.transaction import BY_TITLE
from tailrace.wire.messages.list_transactions import (
    ListTransactionsRequest,
    ListTransactionsResponse,
    TransactionState,
)


def handle(services: Services, context: RequestContext, request: ListTransactionsRequest) -> ListTransactionsResponse:
    """List what passes every filter."""
    known = frozenset(state for state in request.state_filters if state in BY_TITLE)
    unknown = [state for state in request.state_filters if state not in BY_TITLE]
    response = ListTransactionsResponse(unknown_state_filters=unknown)
    if request.state_filters and not known:
        return response
    try:
        filters = Filters(known, frozenset(request.producer_id_filters), request.duration_filter, _matcher(request))
        found = services.transactions.matching(filters)
    except KafkaError as error:
        return ListTransactionsResponse(error_code=error.code, unknown_state_filters=unknown)
    response.transaction_states = [
        TransactionState(each.transactional_id, each.producer_id, each.state.title) for each in found
    ]
    return response


def _matcher(request: ListTransactionsRequest) -> Callable[[str], bool] | None:
    if not request.transactional_id_pattern:
        return None
    try:
        return Pattern(request.transactional_id_pattern).matches
    except PatternError as error:
        raise KafkaError(ErrorCode.INVALID_REGULAR_EXPRESSION, str(error)) from error
