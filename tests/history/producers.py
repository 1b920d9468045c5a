"""Producers without transactions, of librdkafka: each with what its settings promise.

Every one has one life from the first start of the broker to the end: it meets every fault.
"""

from __future__ import annotations

import time
from typing import Any

from confluent_kafka import KafkaError, KafkaException, Message, Producer
from tests.history.model import ALL_PROMISES, Outcome, Promise, Send
from tests.history.process import Process, Run
from tests.history.topics import COMMON, COMPACTED_KEY_COUNT, SENT_TO, TIMEOUT_S, encode_value

SENDS_PER_S = 300
UNANSWERED_MAX = 300

PRODUCERS: dict[str, tuple[dict[str, Any], Promise]] = {
    "idempotent-1": ({"enable.idempotence": True, "linger.ms": 1}, ALL_PROMISES),
    "idempotent-2": ({"enable.idempotence": True, "linger.ms": 5, "compression.type": "zstd"}, ALL_PROMISES),
    "retrying": ({"acks": "all", "retries": 1000, "max.in.flight": 1}, Promise.KEPT),
    "leader-only": ({"acks": "1", "retries": 0, "compression.type": "lz4"}, ALL_PROMISES),
}


class SendingProcess(Process):
    """Sends records and notes what became of each."""

    def __init__(self, name: str, run: Run) -> None:
        super().__init__(name, run)
        config, self._promise = PRODUCERS[name]
        self._producer = Producer({**COMMON, "bootstrap.servers": run.address, **config})

    def work(self) -> None:
        number = 0
        while not self.stopped.is_set():
            self._send(number)
            number += 1
            self._producer.poll(0)
            if self.random.random() < 0.3:
                self.stopped.wait(self.random.random() * 6 / SENDS_PER_S)
            while len(self._producer) > UNANSWERED_MAX and not self.stopped.is_set():
                self._producer.poll(0.02)

    def _send(self, number: int) -> None:
        key = self.random.choice(SENT_TO)
        record_key = f"k{self.random.randrange(COMPACTED_KEY_COUNT)}"
        name = f"{self.name}.{number}"
        invoked = time.monotonic()

        def delivered(error: KafkaError | None, message: Message) -> None:
            if error is not None and error.fatal():
                self.recorder.fatal.append(f"{self.name}: {error}")
            offset = offset_of(error, message)
            outcome = Outcome.OK if error is None else Outcome.INFO
            send = Send(key, name, offset, record_key, self._promise)
            self.recorder.add(self.name, [send], outcome, invoked, str(error or ""))

        try:
            self._producer.produce(key.topic, encode_value(name), record_key, key.partition, on_delivery=delivered)
        except KafkaException as error:  # a fatal error ends an idempotent producer
            self.recorder.fatal.append(f"{self.name}: {error}")
            self.stopped.set()

    def finish(self) -> None:
        super().finish()
        left = self._producer.flush(TIMEOUT_S)
        if left:
            self.recorder.fatal.append(f"{self.name}: {left} records were neither acknowledged nor refused")


def offset_of(error: KafkaError | None, message: Message) -> int | None:
    """Where the broker said that a record was put; None where it was not, or as a retry whose first try is unknown."""
    offset = None if error is not None else message.offset()
    return offset if offset is not None and offset >= 0 else None
