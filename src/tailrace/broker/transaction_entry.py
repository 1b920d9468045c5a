"""Letting a transaction into partitions: the question to its coordinator before the first batch (KIP-890).

    transactions v2 (Produce v12, TxnOffsetCommit v5)   the partitions are *added* to the transaction
    before                                              it is *verified* that the client has added them

A partition in which the transaction is open needs neither: that is every batch but the first, so the hot path asks
nobody. Source: Kafka AddPartitionsToTxnManager, `ReplicaManager.maybeSendPartitionsToTransactionCoordinator`.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.services import Services
from tailrace.coordinator.transactions.transaction import LATEST_VERSION, ProducerIdAndEpoch
from tailrace.replication.partition import Partition
from tailrace.replication.transactional import begin_verification
from tailrace.replication.verification import NONE_NEEDED


class Entrant(NamedTuple):
    """Who wants in, and what its client can do."""

    transactional_id: str
    producer: ProducerIdAndEpoch
    adds_partitions: bool
    """Transactions v2: this request adds what it writes to."""
    knows_abortable: bool
    """Whether the client knows TRANSACTION_ABORTABLE; others are told INVALID_TXN_STATE."""


class Entry(NamedTuple):
    """The verification of each partition that may be written to, and why not the others."""

    verifications: dict[TopicPartition, int]
    refused: dict[TopicPartition, ErrorCode]


_TO_PRODUCERS: Final = {ErrorCode.PRODUCER_FENCED: ErrorCode.INVALID_PRODUCER_EPOCH}
"""From Produce and TxnOffsetCommit clients expect the older code, after which they may abort and go on."""


def enter(services: Services, entrant: Entrant, partitions: Iterable[Partition]) -> Pending[Entry]:
    """Ask for every partition; completes at once unless the coordinator's log makes it wait."""
    entry = Entry({}, {})
    asked: set[TopicPartition] = set()
    is_verified = services.settings.boolean("transaction.partition.verification.enable")
    for partition in partitions:
        name = partition.topic_partition
        try:
            verification = begin_verification(partition, *entrant.producer, is_first_write=entrant.adds_partitions)
        except KafkaError as error:
            entry.refused[name] = error.code
            continue
        entry.verifications[name] = verification
        if verification != NONE_NEEDED and (is_verified or entrant.adds_partitions):
            asked.add(name)
    answer: Pending[Entry] = Pending()
    if not asked:
        answer.complete(entry)
    elif entrant.adds_partitions:
        _add(services, entrant, frozenset(asked), answer, entry)
    else:
        _verify(services, entrant, frozenset(asked), entry)
        answer.complete(entry)
    return answer


def _verify(services: Services, entrant: Entrant, asked: frozenset[TopicPartition], entry: Entry) -> None:
    missing, code = asked, ErrorCode.TRANSACTION_ABORTABLE if entrant.knows_abortable else ErrorCode.INVALID_TXN_STATE
    try:
        missing = services.transactions.missing_partitions(entrant.transactional_id, entrant.producer, asked)
    except KafkaError as error:
        code = _TO_PRODUCERS.get(error.code, error.code)
    entry.refused.update(dict.fromkeys(missing, code))


def _add(
    services: Services, entrant: Entrant, asked: frozenset[TopicPartition], answer: Pending[Entry], entry: Entry
) -> None:
    """Add to the transaction. While the last one is being ended, ask again for a while: cheaper than the client."""
    settings = services.settings
    pause_ms = settings.integer("add.partitions.to.txn.retry.backoff.ms")
    until_ms = services.clock.monotonic_ms() + settings.integer("add.partitions.to.txn.retry.backoff.max.ms")

    def ask() -> None:
        added = services.transactions.add_partitions(entrant.transactional_id, entrant.producer, asked, LATEST_VERSION)
        added.on_complete(on_added)

    def on_added(code: ErrorCode) -> None:
        if code is ErrorCode.CONCURRENT_TRANSACTIONS and services.clock.monotonic_ms() < until_ms:
            services.timers.schedule(pause_ms, ask)
            return
        if code is not ErrorCode.NONE:
            entry.refused.update(dict.fromkeys(asked, _TO_PRODUCERS.get(code, code)))
        answer.complete(entry)

    ask()
