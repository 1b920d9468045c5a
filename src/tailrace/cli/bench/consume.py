"""Reading: one consumer or many, each the whole topic from its start, again and again until the time is over.

Each consumer has a thread of its own and is assigned every partition: no group is formed, nothing is committed. What
is counted is what the application was handed; a pass that is cut off by the end of the run counts as far as it came.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Final

from confluent_kafka import Consumer, KafkaException, TopicPartition

from tailrace.base.clock import Clock
from tailrace.cli.bench.workload import Workload
from tailrace.cli.cluster import Cluster
from tailrace.cli.cluster_errors import explain
from tailrace.cli.failure import CommandFailed, ExitCode

RECORDS_PER_CALL: Final = 10_000
CALL_TIMEOUT_S: Final = 0.2
"""Longest wait for records before the clock is looked at."""

FETCH_WAIT_MS: Final = 10
"""A pass ends with a fetch that waits for more; the next pass begins when it is answered. For each reader of a run: so
that many readers, of which some are done and wait for their turn, do not ask again and again."""
FETCH_WAIT_MAX_MS: Final = 500
"""librdkafka's own."""


@dataclass
class Reader:
    """One consumer's part."""

    consumer: Consumer
    records: int = 0
    last_ms: float = 0.0
    failure: CommandFailed | None = None


class Readers:
    """The consumers of a run. `topic_records` is how many records a pass has; it must be more than 0."""

    def __init__(self, cluster: Cluster, workload: Workload, topic: str, topic_records: int) -> None:
        assert topic_records > 0
        self._topic = topic
        self._partitions = workload.partitions
        self._topic_records = topic_records
        self._timeout_s = cluster.timeout_s
        self._stopped = threading.Event()
        self._given_up = threading.Event()
        wait_ms = min(FETCH_WAIT_MS * workload.connections, FETCH_WAIT_MAX_MS)
        properties = {**workload.consumer_properties(topic), "fetch.wait.max.ms": wait_ms}
        self._readers = [Reader(cluster.consumer(properties)) for _ in range(workload.connections)]

    def connect(self) -> None:
        """Every consumer has been handed a record, and is at rest: connections and metadata are there."""
        for reader in self._readers:
            self._rewind(reader.consumer)  # all first: they connect at the same time
        for reader in self._readers:
            if not reader.consumer.consume(1, self._timeout_s):
                raise CommandFailed(f"no record could be read in {self._timeout_s:g} s.", ExitCode.UNREACHABLE)
            reader.consumer.unassign()  # what it would read ahead is not part of the run

    def run(self, duration_s: float, clock: Clock) -> float:
        """Read for `duration_s`, and until each has read something; returns the seconds to the last record handed out.

        CommandFailed when a consumer cannot read, or has read nothing for the request timeout after the end.
        """
        began_ms = clock.monotonic_ms()
        threads = [
            threading.Thread(target=self._read, args=(reader, clock), name=f"reader-{number}", daemon=True)
            for number, reader in enumerate(self._readers)
        ]
        try:
            for thread in threads:
                thread.start()
            self._stopped.wait(duration_s)
        finally:
            self._end(threads)
        for reader in self._readers:
            if reader.failure is not None:
                raise reader.failure
            if reader.records == 0:
                raise CommandFailed("a reader was handed no record.", ExitCode.UNREACHABLE)
        return (max(reader.last_ms for reader in self._readers) - began_ms) / 1000

    def _end(self, threads: list[threading.Thread]) -> None:
        """Stop, waiting for who has read nothing yet. However this ends, no thread goes on reading."""
        self._stopped.set()
        try:
            for reader, thread in zip(self._readers, threads, strict=True):
                if thread.ident is not None:
                    thread.join(self._timeout_s if reader.records == 0 else CALL_TIMEOUT_S * 10)
        finally:
            self._given_up.set()

    @property
    def records(self) -> int:
        """Records handed out so far."""
        return sum(reader.records for reader in self._readers)

    def close(self) -> None:
        """Leave."""
        for reader in self._readers:
            reader.consumer.close()

    def _rewind(self, consumer: Consumer) -> None:
        consumer.assign([TopicPartition(self._topic, partition, 0) for partition in range(self._partitions)])

    def _read(self, reader: Reader, clock: Clock) -> None:
        try:
            while not self._finished(reader):
                self._rewind(reader.consumer)
                self._read_once(reader, clock)
        except KafkaException as failure:
            reader.failure = explain(failure.args[0], "cannot read")
            self._stopped.set()
        except RuntimeError:
            if not self._given_up.is_set():
                raise  # else the consumer was closed under a reader that was given up

    def _read_once(self, reader: Reader, clock: Clock) -> None:
        left = self._topic_records
        while left > 0 and not self._finished(reader):
            found = reader.consumer.consume(min(left, RECORDS_PER_CALL), CALL_TIMEOUT_S)
            for message in found:
                error = message.error()
                if error is not None:
                    raise KafkaException(error)
            if found:
                left -= len(found)
                reader.records += len(found)
                reader.last_ms = clock.monotonic_ms()

    def _finished(self, reader: Reader) -> bool:
        return self._given_up.is_set() or (self._stopped.is_set() and reader.records > 0)
