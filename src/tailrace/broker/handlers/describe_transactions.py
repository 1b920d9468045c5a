"""DescribeTransactions (key 65), v0: transactional ids and what is open under them (KIP-664)."""

from __future__ import annotations

from tailrace.base.errors import KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.wire.messages.describe_transactions import (
    DescribeTransactionsRequest,
    DescribeTransactionsResponse,
    TopicData,
    TransactionState,
)


def handle(
    services: Services, context: RequestContext, request: DescribeTransactionsRequest
) -> DescribeTransactionsResponse:
    """Describe each id; one that cannot be described has its own code."""
    states = [_describe(services, transactional_id) for transactional_id in request.transactional_ids]
    return DescribeTransactionsResponse(transaction_states=states)


def _describe(services: Services, transactional_id: str) -> TransactionState:
    try:
        transaction, partitions = services.transactions.describe(transactional_id)
    except KafkaError as error:
        return TransactionState(error.code, transactional_id)
    topics: dict[str, TopicData] = {}
    for topic, index in partitions:
        topics.setdefault(topic, TopicData(topic)).partitions.append(index)
    return TransactionState(
        0,
        transactional_id,
        transaction.state.title,
        transaction.timeout_ms,
        transaction.start_ms,
        transaction.producer_id,
        transaction.producer_epoch,
        list(topics.values()),
    )
