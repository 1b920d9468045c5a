"""Questions about transactions to coordinators on other brokers: AddPartitionsToTxn v5, many transactions a request.

One request at a time to each broker. Of one producer there is one question at most (`broker.transaction_entry`).
Not its business: which broker coordinates, asking again. Source: Kafka AddPartitionsToTxnManager.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tailrace.base.errors import ErrorCode
from tailrace.base.limits import QUESTIONS_PER_REQUEST_MAX
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.transaction_questions import Codes, Question
from tailrace.client.broker_client import Refusal
from tailrace.client.lanes import Gathering, Lanes
from tailrace.node.peers import Ask
from tailrace.wire.messages.add_partitions_to_txn import (
    AddPartitionsToTxnRequest,
    AddPartitionsToTxnResponse,
    AddPartitionsToTxnTopic,
    AddPartitionsToTxnTransaction,
)


class _Asked(NamedTuple):
    question: Question
    answer: Pending[Codes]


class RemoteQuestions:
    """Asks coordinators on other brokers. One owner, the loop's thread."""

    def __init__(self, ask: Ask) -> None:
        self._lanes: Lanes[int, _Asked] = Lanes(ask, Gathering(_message, _tell, QUESTIONS_PER_REQUEST_MAX))

    def ask(self, broker_id: int, question: Question) -> Pending[Codes]:
        """The answer of the coordinator on that broker, or NETWORK_EXCEPTION for every partition."""
        answer: Pending[Codes] = Pending()
        self._lanes.put(broker_id, _Asked(question, answer))
        return answer


def _message(asked: Sequence[_Asked]) -> AddPartitionsToTxnRequest:
    transactions = []
    for (transactional_id, producer, partitions, adds), _ in asked:
        by_topic: dict[str, list[int]] = {}
        for topic, index in sorted(partitions):
            by_topic.setdefault(topic, []).append(index)
        topics = [AddPartitionsToTxnTopic(*each) for each in by_topic.items()]
        transactions.append(AddPartitionsToTxnTransaction(transactional_id, *producer, not adds, topics))
    return AddPartitionsToTxnRequest(transactions)


def _tell(asked: Sequence[_Asked], response: AddPartitionsToTxnResponse | Refusal) -> None:
    by_id: dict[str, Codes] = {}
    whole = ErrorCode.NETWORK_EXCEPTION
    if not isinstance(response, Refusal):
        whole = ErrorCode(response.error_code) or whole
        for result in response.results_by_transaction:
            codes = by_id.setdefault(result.transactional_id, {})
            for topic in result.topic_results:
                for each in topic.results_by_partition:
                    codes[TopicPartition(topic.name, each.partition_index)] = ErrorCode(each.partition_error_code)
    for question, answer in asked:
        found = by_id.get(question.transactional_id, {})
        answer.complete({each: found.get(each, whole) for each in question.partitions})
