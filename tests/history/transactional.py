"""Transactions of librdkafka: producers that commit, abort, die and haunt, and copiers that consume and produce.

commit    asked for; what is not answered with yes or no stays unknown
abort     never committed, whatever becomes of the abort: who never asks for a commit knows the outcome
crash     left open, its producer is dropped; the next producer of the id aborts it, or the timeout does
haunt     left open, and taken up again when the next producer of the id has begun: it must be refused
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto

from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from tests.history.model import Commit, Incarnation, Key, Op, Outcome, Read, Reposition, Send, Step
from tests.history.process import Process, Run
from tests.history.producers import offset_of
from tests.history.readers import ends_of, new_consumer, partitions_of, records_of
from tests.history.topics import COMMON, LEDGER, SESSION_TIMEOUT_MS, encode_value

END_TIMEOUT_S = 6.0
TRANSACTION_RECORDS = 8
PAUSE_S = 0.02
COMMIT_TRIES = 3
IDLE_MAX_MS = SESSION_TIMEOUT_MS + 1_000
"""A member that does not poll for so long is out of its group: less than a commit may take that meets a fault."""


class End(Enum):
    """What a process wants of its transaction."""

    COMMIT = auto()
    ABORT = auto()
    CRASH = auto()
    HAUNT = auto()


WEIGHTS = {End.COMMIT: 64, End.ABORT: 24, End.CRASH: 4, End.HAUNT: 8}


class Fenced(Exception):
    """The producer is of no more use."""


def come_back(call: Callable[[], object], timeout_s: float) -> None:
    """Make a call of librdkafka that should end within `timeout_s`; Fenced if it does not, and then it goes on alone.

    librdkafka 2.16 may wait for ever in send_offsets_to_transaction: after a retry of
    AddOffsetsToTxn it forgets to look for the group's coordinator.
    """
    raised: list[Exception] = []

    def run() -> None:
        try:
            call()
        except Exception as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(timeout_s)
    if thread.is_alive():
        raise Fenced
    if raised:
        raise raised[0]


class OpenTransaction:
    """One transaction while it is made. Sends are noted in the order they were made, with the offsets that are told."""

    def __init__(self, process: str, own: Incarnation, invoked: float) -> None:
        self.op = Op(process, [own], Outcome.FAIL, invoked, is_transaction=True, decided=float("inf"))
        self._sends: dict[str, Send] = {}

    def add(self, *steps: Step) -> None:
        self.op.steps += steps

    def send(self, producer: Producer, send: Send) -> None:
        """Produce one record. Raises KafkaException."""
        self._sends[send.value] = send

        def delivered(error: KafkaError | None, message: Message) -> None:
            self._sends[send.value] = send._replace(offset=offset_of(error, message))

        producer.produce(send.key.topic, encode_value(send.value), partition=send.key.partition, on_delivery=delivered)

    def done(self) -> Op:
        """The operation, with all that was told of its records. `outcome` is for the caller to set before."""
        self.op.steps += self._sends.values()
        self._sends = {}
        return self.op


class TransactionalProcess(Process):
    """Producers of one transactional id, one after the other."""

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(name, run)
        self._incarnations = 0
        self._values = 0
        self._transaction_timeout_ms = run.transaction_timeout_ms
        self._end_timeout_s = run.end_timeout_s(END_TIMEOUT_S)

    def new_value(self) -> str:
        self._values += 1
        return f"{self.name}.{self._values}"

    def new_producer(self) -> tuple[Producer, Incarnation]:
        """The next producer of the id. Raises KafkaException."""
        self._incarnations += 1
        own = Incarnation(self.name, self._incarnations)
        producer = Producer(
            {
                **COMMON,
                "bootstrap.servers": self.address,
                "transactional.id": self.name,
                "transaction.timeout.ms": self._transaction_timeout_ms,
                "message.timeout.ms": self._transaction_timeout_ms,
                "linger.ms": 1,
            }
        )
        invoked = time.monotonic()
        try:
            producer.init_transactions(self._end_timeout_s)
        except KafkaException as error:
            self.recorder.add(self.name, [own], Outcome.INFO, invoked, str(error))
            raise
        self.recorder.add(self.name, [own], Outcome.OK, invoked)
        return producer, own

    def commit(self, producer: Producer, transaction: OpenTransaction) -> bool:
        """Ask for the commit and note what came of it; whether it is known to be committed. Raises Fenced."""
        op = transaction.op
        op.decided = time.monotonic()
        op.outcome = Outcome.INFO
        for _ in range(COMMIT_TRIES):
            try:
                producer.commit_transaction(self._end_timeout_s)
            except KafkaException as error:
                op.error = str(error)
                cause = error.args[0]
                if cause.txn_requires_abort():
                    self._note(transaction)
                    self.abort(producer)
                    return False
                if not cause.retriable():
                    break
            else:
                op.outcome = Outcome.OK
                self._note(transaction)
                return True
        self._note(transaction)
        raise Fenced

    def abandon(self, producer: Producer, transaction: OpenTransaction, error: str = "") -> None:
        """Abort, and note that it failed: nobody ever asked for its commit. Raises Fenced."""
        transaction.op.error = error
        try:
            self.abort(producer)
        finally:
            self._note(transaction)

    def abort(self, producer: Producer) -> None:
        """Abort. Raises Fenced when that cannot be done."""
        try:
            producer.abort_transaction(self._end_timeout_s)
        except KafkaException as error:
            raise Fenced from error

    def leave(self, transaction: OpenTransaction) -> None:
        """Note a transaction that nobody will ever commit."""
        self._note(transaction)

    def _note(self, transaction: OpenTransaction) -> None:
        self.recorder.add_transaction(transaction.done())


class LedgerWriter(TransactionalProcess):
    """Writes some records of the ledger in each transaction, and ends it in one way or another."""

    def work(self) -> None:
        while not self.stopped.is_set():
            try:
                producer, own = self.new_producer()
                while not self.stopped.is_set():
                    self._transact(producer, own)
            except (KafkaException, Fenced):
                self.stopped.wait(0.05)

    def _transact(self, producer: Producer, own: Incarnation) -> None:
        keys = [self.random.choice(LEDGER) for _ in range(self.random.randint(1, TRANSACTION_RECORDS))]
        end = self.random.choices(list(WEIGHTS), list(WEIGHTS.values()))[0]
        pause_s = self.random.random() * PAUSE_S
        if end is End.HAUNT:
            keys = LEDGER[:1] * len(keys)
        transaction = OpenTransaction(self.name, own, time.monotonic())
        producer.begin_transaction()
        try:
            for key in keys:
                transaction.send(producer, Send(key, self.new_value()))
            producer.poll(pause_s)
        except KafkaException as error:
            self.abandon(producer, transaction, str(error))
            return
        if end is End.COMMIT:
            self.commit(producer, transaction)
        elif end is End.ABORT:
            self.abandon(producer, transaction)
        elif end is End.CRASH:
            self.leave(transaction)
            raise Fenced
        else:
            self._haunt(producer, transaction, LEDGER[1])

    def _haunt(self, producer: Producer, transaction: OpenTransaction, key: Key) -> None:
        """Go on with the transaction after another producer of the id has begun, in another partition. Raises Fenced.

        In the same partition the leader would refuse it too, whatever the coordinator thinks (KIP-890, part 1).
        """
        producer.flush(1.0)
        try:
            self.new_producer()
        except KafkaException:
            self.leave(transaction)
            raise
        try:
            transaction.send(producer, Send(key, self.new_value()))
            transaction.op.decided = time.monotonic()
            producer.commit_transaction(self._end_timeout_s)
        except KafkaException as error:
            # The later producer's beginning has ended it, so whatever the error is, it was not committed.
            transaction.op.error = str(error)
        else:
            transaction.op.outcome = Outcome.OK
        self.leave(transaction)
        raise Fenced


class Copier(TransactionalProcess):
    """Copies the ledger: reads, sends and offsets in one transaction. One member of its group.

    When it crashes its consumer is not closed: it stays a member that does not poll, for as long as that may be.
    """

    GROUP = "copiers"
    STAYS = 40
    """Of so many transactions one leaves everything as it is and begins anew."""

    def __init__(self, name: str, run: Run, protocol: str) -> None:
        super().__init__(name, run)
        self._protocol = protocol
        self._moved = False
        self._has_crashed = False

    def work(self) -> None:
        left: list[Consumer] = []
        while not self.stopped.is_set():
            consumer = new_consumer(self.address, self.GROUP, protocol=self._protocol, idle_max_ms=IDLE_MAX_MS)
            self._has_crashed = False
            try:
                producer, own = self.new_producer()
                consumer.subscribe(["ledger"], on_assign=self._on_move, on_revoke=self._on_move, on_lost=self._on_move)
                while not self.stopped.is_set():
                    self._copy(producer, own, consumer)
            except (KafkaException, Fenced):
                self.stopped.wait(0.05)
            if self._has_crashed:
                left.append(consumer)
            else:
                consumer.close()
        for consumer in left:
            consumer.close()

    def _on_move(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        self._moved = True

    def _copy(self, producer: Producer, own: Incarnation, consumer: Consumer) -> None:
        end = self.random.choices([End.COMMIT, End.ABORT, End.CRASH], [self.STAYS * 0.85, self.STAYS * 0.15, 1])[0]
        # Taken before: what comes with a later generation must not be committed for messages of an earlier one.
        metadata = consumer.consumer_group_metadata()
        self._moved = False
        invoked = time.monotonic()
        records = records_of(consumer.consume(TRANSACTION_RECORDS, 0.1))
        if self._moved:
            self._rewind(consumer)
            return
        if not records:
            return
        offsets = ends_of(records)
        transaction = OpenTransaction(self.name, own, invoked)
        transaction.add(*(Read(key, tuple((o, n) for k, o, n in records if k == key)) for key in offsets))
        producer.begin_transaction()
        try:
            for key, _, origin in records:
                transaction.send(producer, Send(Key("copied", key.partition), self.new_value(), origin=origin))
            transaction.add(*(Commit(self.GROUP, key, offset) for key, offset in offsets.items()))
            come_back(
                lambda: producer.send_offsets_to_transaction(partitions_of(offsets), metadata, self._end_timeout_s),
                self._end_timeout_s + 2,
            )
        except Fenced:
            self.leave(transaction)
            raise
        except KafkaException as error:
            self.abandon(producer, transaction, str(error))
            self._rewind(consumer)
            return
        if end is End.CRASH:
            self._has_crashed = True
            self.leave(transaction)
            raise Fenced
        if end is End.ABORT:
            self.abandon(producer, transaction)
            self._rewind(consumer)
        elif not self.commit(producer, transaction):
            self._rewind(consumer)

    def _rewind(self, consumer: Consumer) -> None:
        """Go back to what is committed. Raises KafkaException."""
        self.recorder.add(self.name, [Reposition(tuple(LEDGER))], Outcome.OK, time.monotonic())
        for position in consumer.committed(consumer.assignment(), END_TIMEOUT_S):
            with suppress(KafkaException):  # it is no longer assigned: there will be a move to tell so
                consumer.seek(TopicPartition(position.topic, position.partition, max(position.offset, 0)))
