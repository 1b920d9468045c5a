"""End to end: from the moment a record was due to be sent to the moment a consumer has it.

One thread sends and reads, so no two threads wait for the interpreter's lock; it spins when records are less than a
millisecond apart. A record carries its number, which is all that is needed to know when it was due.
"""

from __future__ import annotations

import struct
from functools import partial
from typing import Any, Final

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from tailrace.base.clock import Clock
from tailrace.cli.bench.histogram import Histogram
from tailrace.cli.bench.produce import POLL_INTERVAL_MS, Senders
from tailrace.cli.bench.result import Result
from tailrace.cli.bench.schedule import BURST_RECORDS_MAX, Schedule
from tailrace.cli.failure import CommandFailed, ExitCode

RECORDS_PER_TAKE: Final = BURST_RECORDS_MAX
"""Records read before the schedule is looked at: as many as it hands out at once, so that neither side falls behind."""

NUMBER: Final = struct.Struct(">q")
WARM_UP: Final = NUMBER.pack(-1)
"""What a record begins with that is not measured."""


class RoundTrips:
    """A run of `latency`: `connect`, then `run`, then `drain`."""

    def __init__(self, senders: Senders, consumer: Consumer, result: Result, clock: Clock) -> None:
        workload = result.workload
        assert workload.rate_per_s is not None
        self._senders = senders
        self._consumer = consumer
        self._result = result
        self._clock = clock
        self._schedule = Schedule(workload.rate_per_s, workload.duration_s * 1000, clock.monotonic_ms())
        self._end_to_end = result.end_to_end = Histogram()

    def connect(self, value: bytes, timeout_s: float) -> None:
        """The consumer has read what every producer sent first, so that connections and metadata are there."""
        workload = self._result.workload
        topic = self._senders.topic
        self._consumer.assign([TopicPartition(topic, partition, 0) for partition in range(workload.partitions)])
        self._senders.connect(WARM_UP + value[NUMBER.size :])
        deadline_ms = self._clock.monotonic_ms() + timeout_s * 1000
        seen = 0
        while seen < workload.connections:
            if self._clock.monotonic_ms() > deadline_ms:
                raise CommandFailed(f"no record could be read in {timeout_s:g} s.", ExitCode.UNREACHABLE)
            seen += self._consumer.poll(0.1) is not None

    def run(self, value: bytes) -> None:
        """Send each record when it is due, and take what comes back meanwhile."""
        tail = value[NUMBER.size :]
        self._schedule.start_ms = polled_ms = self._clock.monotonic_ms()
        while not self._schedule.done and self._senders.refusal is None:
            now_ms = self._clock.monotonic_ms()
            for index in self._schedule.take(now_ms):
                late_ms = max(0.0, self._clock.monotonic_ms() - self._schedule.due_ms(index))
                self._senders.send(NUMBER.pack(index) + tail, partial(self._on_delivery, late_ms))
            if now_ms - polled_ms >= POLL_INTERVAL_MS:
                self._senders.poll()
                polled_ms = now_ms
            wait_ms = min(self._schedule.wait_ms(self._clock.monotonic_ms()), POLL_INTERVAL_MS)
            self._take(int(wait_ms) / 1000)

    def drain(self, timeout_s: float) -> None:
        """Wait for the records that are still on their way; what does not come counts as failed."""
        self._senders.settle()
        deadline_ms = self._clock.monotonic_ms() + timeout_s * 1000
        while self._result.records < self._schedule.given - self._senders.failed:
            if self._clock.monotonic_ms() > deadline_ms:
                break
            self._take(0.1)
        self._result.elapsed_s = max(self._clock.monotonic_ms() - self._schedule.start_ms, 0.001) / 1000
        self._result.failed = self._schedule.given - self._result.records

    def _take(self, timeout_s: float) -> None:
        """Take one record, waiting for it, and those that have come with it; each that is polled is counted."""
        for taken in range(RECORDS_PER_TAKE):
            message = self._consumer.poll(0 if taken else timeout_s)
            if message is None:
                return
            error = message.error()
            if error is not None:
                raise KafkaException(error)
            (index,) = NUMBER.unpack_from(message.value() or WARM_UP)
            if index >= 0:
                self._result.records += 1
                self._end_to_end.record_ms(self._clock.monotonic_ms() - self._schedule.due_ms(index))

    def _on_delivery(self, late_ms: float, error: Any, message: Message) -> None:  # Any: KafkaError or None
        if error is not None:
            self._senders.on_delivery(error, message)
            return
        self._result.latency.record_ms(late_ms + (message.latency() or 0.0) * 1000)
