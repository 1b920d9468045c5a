"""Letting a transaction into partitions: the question to its coordinator before the first batch (KIP-890).

    transactions v2 (Produce v12, TxnOffsetCommit v5)   the partitions are *added* to the transaction
    before                                              it is *verified* that the client has added them

A partition in which the transaction is open needs neither: that is every batch but the first, so the hot path asks
nobody. The coordinator may be on another broker. While a producer's first batches wait for its answer, what else it
sends waits behind them, as its batches are in order; nobody else does.
Source: Kafka AddPartitionsToTxnManager, `ReplicaManager.maybeSendPartitionsToTransactionCoordinator`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.base.types import TopicPartition
from tailrace.broker.services import Services
from tailrace.broker.transaction_questions import Codes, Entries, Question
from tailrace.coordinator.transactions.transaction import ProducerIdAndEpoch
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


def enter(services: Services, entrant: Entrant, wanted: Iterable[tuple[Partition, int]]) -> Pending[Entry]:
    """Ask for every partition, each with the sequence of the producer's first batch, -1 for one without.

    Completes at once unless the coordinator's log, or the way to it, or an earlier entry makes it wait; of one producer
    in the order of asking.
    """
    answer: Pending[Entry] = Pending()
    before = services.entries.get(entrant.producer.producer_id)
    if before is None:
        _enter(services, entrant, wanted, answer)
    else:
        before.append(partial(_enter, services, entrant, list(wanted), answer))
    return answer


def _enter(
    services: Services, entrant: Entrant, wanted: Iterable[tuple[Partition, int]], answer: Pending[Entry]
) -> None:
    entry = Entry({}, {})
    asked: set[TopicPartition] = set()
    is_verified = services.settings.boolean("transaction.partition.verification.enable")
    for partition, base_sequence in wanted:
        name = partition.topic_partition
        try:
            verification = begin_verification(
                partition, *entrant.producer, base_sequence, is_first_write=entrant.adds_partitions
            )
        except KafkaError as error:
            entry.refused[name] = error.code
            continue
        entry.verifications[name] = verification
        if verification != NONE_NEEDED and (is_verified or entrant.adds_partitions):
            asked.add(name)
    if not asked:
        answer.complete(entry)
        return
    producer_id = entrant.producer.producer_id
    services.entries.setdefault(producer_id, deque())
    question = Question(entrant.transactional_id, entrant.producer, frozenset(asked), entrant.adds_partitions)

    def on_answer(codes: Codes) -> None:
        for each, code in codes.items():
            if code is ErrorCode.TRANSACTION_ABORTABLE and not entrant.knows_abortable:
                code = ErrorCode.INVALID_TXN_STATE
            if code is not ErrorCode.NONE:
                entry.refused[each] = _TO_PRODUCERS.get(code, code)
        try:
            answer.complete(entry)
        finally:
            _let_next_in(services.entries, producer_id)

    (_ask_patiently if entrant.adds_partitions else _ask)(services, question, on_answer)


def _let_next_in(entries: Entries, producer_id: int) -> None:
    """Go on with what waited behind an entry, up to the next that waits itself."""
    waiting = entries.pop(producer_id)
    while waiting:
        waiting.popleft()()
        if producer_id in entries:
            entries[producer_id].extendleft(reversed(waiting))
            return


def _ask(services: Services, question: Question, told: Callable[[Codes], None]) -> None:
    services.ask_transaction(question).on_complete(told)


def _ask_patiently(services: Services, question: Question, told: Callable[[Codes], None]) -> None:
    """Ask; while the last transaction is being ended, ask again for a while: cheaper than the client."""
    settings = services.settings
    pause_ms = settings.integer("add.partitions.to.txn.retry.backoff.ms")
    until_ms = services.clock.monotonic_ms() + settings.integer("add.partitions.to.txn.retry.backoff.max.ms")

    def ask() -> None:
        _ask(services, question, on_answer)

    def on_answer(codes: Codes) -> None:
        is_ending = ErrorCode.CONCURRENT_TRANSACTIONS in codes.values()
        if is_ending and services.clock.monotonic_ms() < until_ms:
            services.timers.schedule(pause_ms, ask)
        else:
            told(codes)

    ask()
