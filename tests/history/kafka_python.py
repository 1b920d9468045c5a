"""The clients of kafka-python: an idempotent producer, and a consumer that is assigned its partitions."""

from __future__ import annotations

import time
from functools import partial
from typing import Any

from kafka import KafkaConsumer, KafkaProducer, TopicPartition
from kafka.errors import KafkaError
from tests.history.model import Key, Outcome, Reposition, Send
from tests.history.process import Process
from tests.history.readers import reading_steps
from tests.history.topics import (
    COMPACTED_KEY_COUNT,
    KEYS,
    SENT_TO,
    TIMEOUT_S,
    decode_value,
    encode_value,
)

COMMON: dict[str, Any] = {
    "reconnect_backoff_ms": 20,
    "reconnect_backoff_max_ms": 100,
    "retry_backoff_ms": 20,
    "request_timeout_ms": 10_000,
    "metadata_max_age_ms": 2_000,
}


DELIVERY_TIMEOUT_MS = 60_000


class KafkaPythonSender(Process):
    """An idempotent producer."""

    begins_connected = True
    _unanswered: dict[str, tuple[Send, float]]
    """By value: what was sent, and when."""

    def work(self) -> None:
        self._unanswered = {}
        producer = KafkaProducer(
            bootstrap_servers=self.address,
            enable_idempotence=True,
            acks="all",
            linger_ms=2,
            delivery_timeout_ms=DELIVERY_TIMEOUT_MS,
            **COMMON,
        )
        self.begun.set()
        number = 0
        while not self.stopped.is_set():
            key = self.random.choice(SENT_TO)
            record_key = f"k{self.random.randrange(COMPACTED_KEY_COUNT)}"
            send = Send(key, f"{self.name}.{number}", None, record_key)
            number += 1
            invoked = time.monotonic()
            self._unanswered[send.value] = send, invoked
            try:
                future = producer.send(
                    key.topic, encode_value(send.value), record_key.encode(), partition=key.partition
                )
            except KafkaError as error:
                self._failed(send, invoked, error)
                continue
            future.add_callback(partial(self._stored, send, invoked))
            future.add_errback(partial(self._failed, send, invoked))
            self.stopped.wait(self.random.random() * 0.02)
        try:
            producer.flush(
                DELIVERY_TIMEOUT_MS / 1000 + TIMEOUT_S / 3
            )  # a machine may be busy; by then it gives up itself
            producer.close(1)
        except KafkaError as error:
            self.recorder.fatal.append(f"{self.name}: records were neither acknowledged nor refused: {error}")
        for send, invoked in list(self._unanswered.values()):
            self.recorder.add(self.name, [send], Outcome.INFO, invoked, "no answer")

    def _stored(self, send: Send, invoked: float, told: Any) -> None:
        self._unanswered.pop(send.value, None)
        offset = told.offset if told.offset >= 0 else None
        self.recorder.add(self.name, [send._replace(offset=offset)], Outcome.OK, invoked)

    def _failed(self, send: Send, invoked: float, error: BaseException) -> None:
        self._unanswered.pop(send.value, None)
        self.recorder.add_refusal(self.name, send, invoked, repr(error))


class KafkaPythonReader(Process):
    """Reads every partition from its start on."""

    begins_connected = True

    def work(self) -> None:
        consumer = KafkaConsumer(
            bootstrap_servers=self.address,
            group_id=None,
            enable_auto_commit=False,
            isolation_level="read_committed",
            auto_offset_reset="earliest",
            fetch_max_wait_ms=50,
            **COMMON,
        )
        self.begun.set()
        partitions = [TopicPartition(*key) for key in KEYS]
        consumer.assign(partitions)
        consumer.seek_to_beginning(*partitions)
        self.recorder.add(self.name, [Reposition(tuple(KEYS))], Outcome.OK, time.monotonic())
        while not self.stopped.is_set():
            invoked = time.monotonic()
            polled = consumer.poll(timeout_ms=100, max_records=300)
            records = [
                (Key(each.topic, each.partition), each.offset, decode_value(each.value))
                for batch in polled.values()
                for each in batch
            ]
            if records:
                self.recorder.add(self.name, reading_steps(records, set()), Outcome.OK, invoked)
        consumer.close()
