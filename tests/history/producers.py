"""Producers without transactions, of librdkafka: each with what its settings promise.

Every one has one life from the first start of the broker to the end: it meets every fault.
"""

from __future__ import annotations

import logging
import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from tests.history.model import ALL_PROMISES, Outcome, Promise, Send
from tests.history.process import Process, Run, is_out_of_order
from tests.history.topics import COMMON, COMPACTED_KEY_COUNT, FORGETFUL, SENT_TO, TIMEOUT_S, encode_value

SENDS_PER_S = 300
UNANSWERED_MAX = 300

LEADER_ONLY = "leader-only"
PRODUCERS: dict[str, tuple[dict[str, Any], Promise]] = {
    "idempotent-1": ({"enable.idempotence": True, "linger.ms": 1}, ALL_PROMISES),
    "idempotent-2": ({"enable.idempotence": True, "linger.ms": 5, "compression.type": "zstd"}, ALL_PROMISES),
    "retrying": ({"acks": "all", "retries": 1000, "max.in.flight": 1}, Promise.KEPT),
    LEADER_ONLY: ({"acks": "1", "retries": 0, "compression.type": "lz4"}, ALL_PROMISES),
}


class EpochBumps(logging.Handler):
    """When librdkafka by itself took a new producer epoch after refusals, by what it logs under `debug=eos`.

    Where a request is refused for a while (NOT_LEADER_OR_FOLLOWER, NOT_ENOUGH_REPLICAS) and those sent after it are
    not, they are out of order, as the protocol says; librdkafka 2.16 then numbers everything anew that is under way,
    in partitions too whose answers it lost: those records are there twice (its issue 4953, with Apache Kafka).
    """

    REASON = "skipped sequence numbers"

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self._last_s = float("-inf")

    def emit(self, record: logging.LogRecord) -> None:
        if "epoch bump" in (said := record.getMessage()) and self.REASON in said:
            self._last_s = time.monotonic()

    def promise(self, promise: Promise, invoked: float) -> Promise:
        """What is left of the promise to a record that was handed over at `invoked` and is acknowledged now."""
        return promise & ~Promise.ONCE if invoked <= self._last_s else promise

    def logger(self, name: str) -> logging.Logger:
        """One that nobody else hears."""
        found = logging.Logger(name, logging.DEBUG)
        found.addHandler(self)
        return found


class SendingProcess(Process):
    """Sends records and notes what became of each."""

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(name, run)
        config, self._promise = PRODUCERS[name]
        self._bumps = EpochBumps()
        heard = {"debug": "eos", "log_level": 7, "logger": self._bumps.logger(name)}
        self._config = {**COMMON, "bootstrap.servers": run.address, **heard, **config}
        self._producer = Producer(self._config)
        self._number = 0

    def work(self) -> None:
        while not self.stopped.is_set():
            try:
                self._send_on()
            except KafkaException as error:
                self._on_fatal(str(error))

    def _send_on(self) -> None:
        """Until it is stopped. Raises KafkaException with what ended the producer."""
        while not self.stopped.is_set():
            self._send()
            self._producer.poll(0)
            if self.random.random() < 0.3:
                self.stopped.wait(self.random.random() * 6 / SENDS_PER_S)
            while len(self._producer) > UNANSWERED_MAX and not self.stopped.is_set():
                self._producer.poll(0.02)

    def _send(self) -> None:
        key = self.random.choice(SENT_TO)
        record_key = f"k{self.random.randrange(COMPACTED_KEY_COUNT)}"
        send = Send(key, f"{self.name}.{self._number}", None, record_key, self._promise)
        self._number += 1
        invoked = time.monotonic()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is None:
                promise = self._bumps.promise(send.promise, invoked)
                told = send._replace(offset=offset_of(error, message), promise=promise)
                self.recorder.add(self.name, [told], Outcome.OK, invoked)
            else:
                self.recorder.add_refusal(self.name, send, invoked, str(error))

        value = encode_value(send.value)
        self._producer.produce(key.topic, value, record_key, key.partition, on_delivery=delivered)

    def _on_fatal(self, error: str) -> None:
        """An error has ended the producer: where it may happen, another takes its place."""
        if not is_out_of_order(error) or not any(f" {topic} [" in error for topic in FORGETFUL):
            self.recorder.fatal.append(f"{self.name}: {error}")
        self._producer.purge()
        self._end()
        self._producer = Producer(self._config)

    def _end(self) -> int:
        """Wait until everything was answered; how much was not."""
        try:
            return self._producer.flush(TIMEOUT_S)
        except (KafkaException, SystemError) as error:  # SystemError: confluent-kafka, a fatal error amid callbacks
            self.recorder.fatal.append(f"{self.name}: {error}")
            return 0

    def finish(self) -> None:
        super().finish()
        left = self._end()
        if left:
            self.recorder.fatal.append(f"{self.name}: {left} records were neither acknowledged nor refused")


def offset_of(error: KafkaError | None, message: Message) -> int | None:
    """Where the broker said that a record was put; None where it was not, or as a retry whose first try is unknown."""
    offset = None if error is not None else message.offset()
    return offset if offset is not None and offset >= 0 else None
