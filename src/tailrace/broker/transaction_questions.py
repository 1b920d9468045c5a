"""What the leader of a partition asks the coordinator of a transaction, and the coordinator's answer (KIP-890).

    adds      put these partitions into the transaction (transactions v2)
    verifies  are these partitions in it?

Here it is asked of this broker's coordinator; another's is sent the same in AddPartitionsToTxn v4 and later.
Source: Kafka AddPartitionsToTxnManager, `KafkaApis.handleAddPartitionsToTxnRequest`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending, completed
from tailrace.base.types import TopicPartition
from tailrace.coordinator.transactions.coordinator import TransactionCoordinator
from tailrace.coordinator.transactions.transaction import LATEST_VERSION, ProducerIdAndEpoch


class Question(NamedTuple):
    """About one transaction. `adds`: put the partitions into it; else they are looked for in it."""

    transactional_id: str
    producer: ProducerIdAndEpoch
    partitions: frozenset[TopicPartition]
    adds: bool


Codes = dict[TopicPartition, ErrorCode]
"""The answer: a code for each partition. TRANSACTION_ABORTABLE: it is not in the transaction."""

Entries = dict[int, deque[Callable[[], None]]]
"""Producer id -> what waits while a question about its transaction is on its way; no key where none is."""

AskElsewhere = Callable[[int, Question], Pending[Codes]]
"""Asks the coordinator on another broker, by its id. NETWORK_EXCEPTION for every partition where it cannot be had."""


def answer_here(transactions: TransactionCoordinator, question: Question) -> Pending[Codes]:
    """What this broker's coordinator says; later where its log makes it wait."""
    transactional_id, producer, partitions, adds = question
    if adds:
        later: Pending[Codes] = Pending()
        transactions.add_partitions(transactional_id, producer, partitions, LATEST_VERSION).on_complete(
            lambda code: later.complete(dict.fromkeys(partitions, code))
        )
        return later
    try:
        missing = transactions.missing_partitions(transactional_id, producer, partitions)
    except KafkaError as error:
        return completed(dict.fromkeys(partitions, error.code))
    return completed(
        {each: ErrorCode.TRANSACTION_ABORTABLE if each in missing else ErrorCode.NONE for each in partitions}
    )
