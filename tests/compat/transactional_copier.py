"""Copies partitions of a topic exactly once with confluent-kafka, through whatever happens to the brokers.

    python -m tests.compat.transactional_copier SERVERS NAME SOURCE TARGET COUNT SECONDS PARTITION...

Each record goes to the partition of TARGET that its number says, so that a transaction writes to several. Ends when
COUNT records are copied and committed. What a client is told to do after an error is done: again, abort, begin anew.
"""

from __future__ import annotations

import sys
import time

from confluent_kafka import Consumer, KafkaException, Message, Producer, TopicPartition

CALL_S = 8.0
AGAIN_S = 20.0
TRANSACTION_RECORDS = 20


class Copier:
    def __init__(self, who: tuple[str, str], topics: tuple[str, str], until: float, partitions: list[int]) -> None:
        (self._servers, self._name), (source, self._target) = who, topics
        servers, name = who
        self._partitions = [TopicPartition(source, each) for each in partitions]
        self._until = until
        self._consumer = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": name,
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "log_level": 0,
            }
        )
        self._producer = self._began()
        self.copied = 0

    def _began(self) -> Producer:
        """A producer that has fenced the one before, which is left as it is."""
        settings = {
            "bootstrap.servers": self._servers,
            "transactional.id": self._name,
            "transaction.timeout.ms": 10_000,
            "topic.metadata.refresh.interval.ms": 500,
            "log_level": 0,
        }
        producer = Producer(settings)
        self._again(lambda: producer.init_transactions(CALL_S))
        self._rewind()
        return producer

    def _again(self, call: object) -> None:
        """Call until it is done; raises what is not to be tried again, or was for long enough: then a new producer is
        begun, for librdkafka's calls do not always come to their end (docs/checked.md)."""
        until = min(time.monotonic() + AGAIN_S, self._until)
        while True:
            try:
                call()  # type: ignore[operator]
            except KafkaException as error:
                if not error.args[0].retriable() or time.monotonic() > until:
                    raise
                time.sleep(0.1)
            else:
                return

    def _rewind(self) -> None:
        """Go on from what is committed, and know how much that is."""

        def committed() -> None:
            self._positions = self._consumer.committed(self._partitions, CALL_S)

        while True:
            assert time.monotonic() < self._until, "no committed offsets are to be had"
            try:
                committed()
                break
            except KafkaException:
                time.sleep(0.1)
        for each in self._positions:
            each.offset = max(each.offset, 0)
        self.copied = sum(each.offset for each in self._positions)
        self._consumer.assign(self._positions)

    def run(self, count: int) -> None:
        while self.copied < count:
            assert time.monotonic() < self._until, f"only {self.copied} of {count} copied"
            messages = [each for each in self._consumer.consume(TRANSACTION_RECORDS, 0.5) if each.error() is None]
            if messages:
                self._copy(messages)
                print("copied", self.copied, flush=True)
        self._consumer.close()

    def _copy(self, messages: list[Message]) -> None:
        try:
            self._producer.begin_transaction()
            for each in messages:
                number = int(each.value())
                self._producer.produce(self._target, each.value(), partition=number % 3)
            ends: dict[int, int] = {}
            for each in messages:
                ends[each.partition()] = max(ends.get(each.partition(), 0), each.offset() + 1)
            offsets = [TopicPartition(self._partitions[0].topic, *each) for each in ends.items()]
            metadata = self._consumer.consumer_group_metadata()
            self._again(lambda: self._producer.send_offsets_to_transaction(offsets, metadata, CALL_S))
            self._again(lambda: self._producer.commit_transaction(CALL_S))
        except KafkaException as error:
            print("failed", error.args[0], flush=True)
            self._recover(error)
        else:
            self.copied += len(messages)

    def _recover(self, error: KafkaException) -> None:
        if error.args[0].txn_requires_abort():
            try:
                self._again(lambda: self._producer.abort_transaction(CALL_S))
            except KafkaException as again:
                print("abort failed", again.args[0], flush=True)
            else:
                self._rewind()
                return
        self._producer = self._began()


if __name__ == "__main__":
    given = sys.argv[1:]
    until = time.monotonic() + float(given[5])
    Copier((given[0], given[1]), (given[2], given[3]), until, [int(each) for each in given[6:]]).run(int(given[4]))
