"""AddPartitionsToTxn (key 24), v0-v5: partitions join a producer's transaction, or are looked for in it.

Behaviour: a partition that does not exist is UNKNOWN_TOPIC_OR_PARTITION, and then nothing is added: the others are
    OPERATION_NOT_ATTEMPTED. Source: Kafka `KafkaApis.handleAddPartitionsToTxnRequest`.
Versions: v0-v3 are for clients, one transaction a request; before v2 they know INVALID_PRODUCER_EPOCH in the place of
    PRODUCER_FENCED. v4 and later are for brokers, several transactions a request, each to be added to or, with
    `verify_only`, to be looked into (KIP-890): what is missing is TRANSACTION_ABORTABLE.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending, completed
from tailrace.base.types import TopicPartition
from tailrace.broker.context import RequestContext
from tailrace.broker.fencing import fenced_as_known
from tailrace.broker.services import Services
from tailrace.broker.transaction_questions import Codes, Question, answer_here
from tailrace.coordinator.transactions.transaction import ProducerIdAndEpoch
from tailrace.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnPartitionResult,
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnResult,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTopicResult,
    AddPartitionsToTxnTransaction,
)

_FENCED_FROM: Final = 2
_BATCHED_FROM: Final = 4


def handle(
    services: Services, context: RequestContext, request: AddPartitionsToTxnRequest
) -> AddPartitionsToTxnResponse | Pending[AddPartitionsToTxnResponse]:
    """Add to, or look into, each transaction; answered when the last one is."""
    if context.api_version < _BATCHED_FROM:
        return _handle_one(services, context, request)
    later: Pending[AddPartitionsToTxnResponse] = Pending()
    results: dict[int, AddPartitionsToTxnResult] = {}

    def note(index: int, transaction: AddPartitionsToTxnTransaction, codes: Codes) -> None:
        results[index] = AddPartitionsToTxnResult(transaction.transactional_id, _results(transaction.topics, codes))
        if len(results) == len(request.transactions):
            ordered = [results[each] for each in range(len(results))]
            later.complete(AddPartitionsToTxnResponse(results_by_transaction=ordered))

    if not request.transactions:
        return AddPartitionsToTxnResponse()
    for index, transaction in enumerate(request.transactions):
        _decide(services, transaction).on_complete(
            lambda codes, index=index, transaction=transaction: note(index, transaction, codes)  # type: ignore[misc]
        )
    return later


def _handle_one(
    services: Services, context: RequestContext, request: AddPartitionsToTxnRequest
) -> Pending[AddPartitionsToTxnResponse]:
    later: Pending[AddPartitionsToTxnResponse] = Pending()
    topics = request.v3_and_below_topics

    def answer(codes: Codes) -> None:
        codes = {each: fenced_as_known(code, context.api_version, _FENCED_FROM) for each, code in codes.items()}
        later.complete(AddPartitionsToTxnResponse(results_by_topic_v3_and_below=_results(topics, codes)))

    asked = [TopicPartition(topic.name, index) for topic in topics for index in topic.partitions]
    refused = _unknown(services, asked)
    if refused:
        answer(refused)
        return later
    services.transactions.add_partitions(
        request.v3_and_below_transactional_id,
        ProducerIdAndEpoch(request.v3_and_below_producer_id, request.v3_and_below_producer_epoch),
        frozenset(asked),
        0,
    ).on_complete(lambda code: answer(dict.fromkeys(asked, code)))
    return later


def _decide(services: Services, transaction: AddPartitionsToTxnTransaction) -> Pending[Codes]:
    """The code of every partition of one transaction, as a broker asks for it."""
    asked = [TopicPartition(topic.name, index) for topic in transaction.topics for index in topic.partitions]
    refused = _unknown(services, asked)
    if refused:
        return completed(refused)
    producer = ProducerIdAndEpoch(transaction.producer_id, transaction.producer_epoch)
    question = Question(transaction.transactional_id, producer, frozenset(asked), not transaction.verify_only)
    return answer_here(services.transactions, question)


def _unknown(services: Services, asked: list[TopicPartition]) -> Codes:
    """The codes where one of the partitions does not exist; none where all do."""
    image = services.metadata.image
    unknown = {each for each in asked if image.partition(*each) is None}
    if not unknown:
        return {}
    missing, other = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, ErrorCode.OPERATION_NOT_ATTEMPTED
    return {each: missing if each in unknown else other for each in asked}


def _results(topics: list[AddPartitionsToTxnTopic], codes: Codes) -> list[AddPartitionsToTxnTopicResult]:
    return [
        AddPartitionsToTxnTopicResult(
            topic.name,
            [
                AddPartitionsToTxnPartitionResult(index, codes[TopicPartition(topic.name, index)])
                for index in topic.partitions
            ],
        )
        for topic in topics
    ]
