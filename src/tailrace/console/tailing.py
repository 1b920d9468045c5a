"""A live tail: what arrives in a topic, some times a second, the newest where more comes than people can read."""

from __future__ import annotations

from collections import deque
from typing import Final

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka import TopicPartition as Place

from tailrace.console.beginnings import Asked
from tailrace.console.context import Console
from tailrace.console.limits import TAIL_INTERVAL_MS, TAIL_MESSAGES_MAX
from tailrace.console.reading import Record, record_of
from tailrace.console.shown_messages import shown_message
from tailrace.console.streams import Outlet

_BATCH: Final = 1_000


class Tail:
    """One tail: from the ends that `asked` found."""

    def __init__(self, console: Console, asked: Asked) -> None:
        self._console = console
        self._asked = asked
        self._held: deque[Record] = deque(maxlen=TAIL_MESSAGES_MAX)
        self._skipped = 0

    def run(self, outlet: Outlet) -> None:
        """Put events until nobody takes them."""
        consumer = self._console.kafka.consumer(is_committed=self._asked.is_committed)
        try:
            ends = self._asked.ends
            consumer.assign([Place(self._asked.topic, each, offset) for each, offset in ends.items()])
            outlet.put("started", {"partitions": {str(each): offset for each, offset in sorted(ends.items())}})
            due_ms = 0.0
            while not outlet.stopped.is_set():
                for found in consumer.consume(_BATCH, TAIL_INTERVAL_MS / 1000):
                    error = found.error()
                    if error is None:
                        self._hold(record_of(found))
                    elif error.code() != KafkaError._PARTITION_EOF:
                        raise KafkaException(error)
                now_ms = self._console.clock.monotonic_ms()
                if self._held and now_ms >= due_ms and not outlet.is_full:
                    self._send(outlet)
                    due_ms = now_ms + TAIL_INTERVAL_MS
        finally:
            consumer.close()

    def _hold(self, record: Record) -> None:
        self._skipped += len(self._held) == TAIL_MESSAGES_MAX
        self._held.append(record)

    def _send(self, outlet: Outlet) -> None:
        items = [shown_message(self._console.decoder, each, self._asked.shown) for each in self._held]
        outlet.put("messages", {"items": items, "skipped": self._skipped})
        self._held.clear()
        self._skipped = 0
