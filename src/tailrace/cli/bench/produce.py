"""Producing: as fast as the cluster takes it, or by a schedule that does not wait for it.

Invariant: a record counts when it is acknowledged (with acks=0: when it was sent), and the time ends with the last one.
Latency is taken by schedule only: it is how late the record was sent, plus what librdkafka saw between that and the
acknowledgement, so it does not depend on when this loop looks at its answers. Without a schedule a record waits in the
client's own queue for as long as that is, which says nothing of the cluster.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaError, Message, Producer

from tailrace.base.clock import Clock
from tailrace.cli.bench.result import Result
from tailrace.cli.bench.schedule import Schedule
from tailrace.cli.bench.workload import Workload
from tailrace.cli.cluster import Cluster
from tailrace.cli.cluster_errors import explain

POLL_INTERVAL_MS: Final = 5.0
"""How often answers are looked at: they hold places in librdkafka's queue until then."""

SPIN_MS: Final = 0.2
"""The last of a wait is spun: a sleep ends some 0.06 ms late, which would count as the cluster's."""

FULL_QUEUE_WAIT_S: Final = 0.005
RECORDS_PER_POLL: Final = 1000


class Senders:
    """The producers of a run, one a connection, used in turn, and what became of their records."""

    def __init__(self, cluster: Cluster, workload: Workload, topic: str) -> None:
        self.topic = topic
        self.sent = 0
        self.failed = 0
        self.refusal: KafkaError | None = None
        self._timeout_s = cluster.timeout_s
        properties = workload.producer_properties()
        properties["message.timeout.ms"] = max(int(cluster.timeout_s * 1000), int(workload.linger_ms) + 1)
        if workload.rate_per_s is None:
            properties |= {"delivery.report.only.error": True, "on_delivery": self.on_delivery}
        self._producers = [cluster.producer(properties) for _ in range(workload.connections)]

    def on_delivery(self, error: KafkaError | None, message: Message) -> None:
        """librdkafka's callback: counts what was refused."""
        if error is not None:
            self.failed += 1
            self.refusal = self.refusal or error

    def connect(self, value: bytes) -> None:
        """One record by each producer, acknowledged before this returns; CommandFailed when one is not."""
        for producer in self._producers:
            producer.produce(self.topic, value, on_delivery=self.on_delivery)
        self.settle()
        if self.refusal is not None:
            raise explain(self.refusal, "cannot produce")

    def send(self, value: bytes, callback: Callable[..., None] | None = None) -> None:
        """Queue a record at the next producer, waiting while its queue is full."""
        producer = self._producers[self.sent % len(self._producers)]
        while True:
            try:
                if callback is None:
                    producer.produce(self.topic, value)
                else:
                    producer.produce(self.topic, value, on_delivery=callback)
                self.sent += 1
                return
            except BufferError:
                self.poll(FULL_QUEUE_WAIT_S)

    def poll(self, timeout_s: float = 0.0) -> None:
        """Take the answers that are there; with a timeout, wait for one of the first producer's."""
        for index, producer in enumerate(self._producers):
            producer.poll(timeout_s if index == 0 else 0)

    def settle(self) -> None:
        """Wait for every answer. Each record ends within message.timeout.ms, so this does too."""
        for producer in self._producers:
            self.failed += _flush(producer, self._timeout_s + 1.0)

    def close(self) -> None:
        """Drop what is still queued, so that an interrupted run ends at once."""
        for producer in self._producers:
            producer.purge()
        self.poll()


def _flush(producer: Producer, timeout_s: float) -> int:
    """How many records were left without an answer."""
    return int(producer.flush(timeout_s))


def produce_at_full_speed(senders: Senders, result: Result, value: bytes, bytes_max: int, clock: Clock) -> None:
    """Send until the duration or `bytes_max` is used up; every record is settled when this returns."""
    records_max = max(1, bytes_max // len(value)) if value else bytes_max
    began_ms = clock.monotonic_ms()
    end_ms = began_ms + result.workload.duration_s * 1000
    for index in range(1, records_max + 1):
        senders.send(value)
        if index % RECORDS_PER_POLL == 0:
            senders.poll()
            if senders.refusal is not None or clock.monotonic_ms() >= end_ms:
                break
    senders.settle()
    result.elapsed_s = (clock.monotonic_ms() - began_ms) / 1000
    result.failed = senders.failed
    result.records = senders.sent - senders.failed


def produce_by_schedule(senders: Senders, result: Result, value: bytes, clock: Clock) -> None:
    """Send each record when it is due, whatever became of the one before; all are settled when this returns."""
    workload = result.workload
    assert workload.rate_per_s is not None
    schedule = Schedule(workload.rate_per_s, workload.duration_s * 1000, clock.monotonic_ms())
    pause = threading.Event()
    polled_ms = schedule.start_ms

    def on_delivery(late_ms: float, error: Any, message: Message) -> None:  # Any: KafkaError or None
        if error is not None:
            senders.on_delivery(error, message)
            return
        result.records += 1
        result.latency.record_ms(late_ms + (message.latency() or 0.0) * 1000)

    while not schedule.done and senders.refusal is None:
        now_ms = clock.monotonic_ms()
        for index in schedule.take(now_ms):
            senders.send(value, partial(on_delivery, max(0.0, clock.monotonic_ms() - schedule.due_ms(index))))
        if now_ms - polled_ms >= POLL_INTERVAL_MS:
            senders.poll()
            polled_ms = now_ms
        wait_ms = min(schedule.wait_ms(clock.monotonic_ms()), POLL_INTERVAL_MS)
        if wait_ms > SPIN_MS:
            pause.wait((wait_ms - SPIN_MS) / 1000)
    senders.settle()
    result.elapsed_s = max(clock.monotonic_ms() - schedule.start_ms, 0.001) / 1000
    result.failed = senders.failed
