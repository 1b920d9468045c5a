"""The demo's clients: one librdkafka producer and a consumer group, each on a thread of its own.

Nothing here knows that the broker is ours: they get a bootstrap address, as any application does.
"""

from __future__ import annotations

import json
import threading
from typing import Any, Final

from confluent_kafka import Consumer, Message, Producer, TopicPartition

from tailrace.base.clock import Clock
from tailrace.base.rand import Random
from tailrace.cli.demo.figures import MemberFigures
from tailrace.cli.demo.shop import TOPICS, Shop

GROUP: Final = "shop-analytics"
TICK_S: Final = 0.02
"""How often the producer wakes up to send what has become due."""
POLL_WAIT_S: Final = 0.1
GROUP_WAIT_S: Final = 5.0
"""Longest wait for the group; the events then start without it."""
SENT_HEADER: Final = "sent_ms"
"""Header with the monotonic time of sending, which the consumer subtracts from its own."""


class Traffic:
    """Producer and group. `start` begins, `stop` ends and waits; `failure` is what a thread died of."""

    def __init__(self, bootstrap_servers: str, rate_per_s: int, members: int, clock: Clock, rand: Random) -> None:
        self.figures = [MemberFigures(f"member-{number + 1}") for number in range(members)]
        self.sent = 0
        self.failure: BaseException | None = None
        self._bootstrap_servers = bootstrap_servers
        self._rate_per_s = rate_per_s
        self._clock = clock
        self._shop = Shop(rand)
        self._stopping = threading.Event()
        self._drained = threading.Event()
        self._producing = threading.Thread(target=self._guard, args=(self._produce,), name="demo-producer")
        self._consuming = [
            threading.Thread(target=self._guard, args=(self._consume, figures), name=f"demo-{figures.name}")
            for figures in self.figures
        ]

    def start(self) -> None:
        """Start all threads."""
        for thread in (self._producing, *self._consuming):
            thread.start()

    def stop(self, drain_s: float) -> None:
        """Stop sending, give the consumers up to `drain_s` to read the rest, and end all threads."""
        self._stopping.set()
        if self._producing.is_alive():
            self._producing.join()
        deadline_ms = self._clock.monotonic_ms() + drain_s * 1000
        while not self._all_read() and self.failure is None and self._clock.monotonic_ms() < deadline_ms:
            self._drained.wait(TICK_S)
        self._drained.set()
        for thread in self._consuming:
            if thread.is_alive():
                thread.join()

    def _all_read(self) -> bool:
        return sum(figures.records for figures in self.figures) >= self.sent

    def _guard(self, run: Any, *arguments: Any) -> None:  # a method of ours and its arguments
        try:
            run(*arguments)
        except BaseException as failure:
            self.failure = failure

    def _produce(self) -> None:
        producer = Producer({"bootstrap.servers": self._bootstrap_servers, "linger.ms": 2, "acks": "all"})
        self._wait_for_group()
        began_ms = self._clock.monotonic_ms()
        while not self._stopping.wait(TICK_S):
            now_ms = self._clock.monotonic_ms()
            due = int((now_ms - began_ms) / 1000 * self._rate_per_s)
            for _ in range(due - self.sent):
                event = self._shop.next_event(now_ms)
                sent_ms = f"{self._clock.monotonic_ms():.3f}"
                producer.produce(
                    event.topic, json.dumps(event.body), event.key, headers=[(SENT_HEADER, sent_ms.encode())]
                )
                self.sent += 1
            producer.poll(0)
        producer.flush()

    def _wait_for_group(self) -> None:
        """Hold the first event until the group has shared out the partitions, or its latency would be the joining."""
        deadline_ms = self._clock.monotonic_ms() + GROUP_WAIT_S * 1000
        partitions = sum(TOPICS.values())
        while sum(len(figures.partitions) for figures in self.figures) < partitions or not all(
            figures.partitions for figures in self.figures
        ):
            if self._clock.monotonic_ms() > deadline_ms or self._stopping.wait(TICK_S):
                return

    def _consume(self, figures: MemberFigures) -> None:
        consumer = Consumer(
            {
                "bootstrap.servers": self._bootstrap_servers,
                "group.id": GROUP,
                "client.id": figures.name,
                "auto.offset.reset": "earliest",
                "partition.assignment.strategy": "roundrobin",
                "heartbeat.interval.ms": 500,  # the second member is noticed at the first one's next heartbeat
            }
        )

        def on_assign(member: Consumer, places: list[TopicPartition]) -> None:
            figures.partitions = sorted(f"{place.topic}-{place.partition}" for place in places)

        consumer.subscribe(list(TOPICS), on_assign=on_assign)
        try:
            while not self._drained.is_set():
                message = consumer.poll(POLL_WAIT_S)
                if message is not None and message.error() is None:
                    self._count(figures, message)
        finally:
            consumer.close()

    def _count(self, figures: MemberFigures, message: Message) -> None:
        now_ms = self._clock.monotonic_ms()
        headers = dict(message.headers() or ())
        value = message.value() or b"{}"
        latency_ms = now_ms - float(headers[SENT_HEADER] or 0)
        figures.count(message.topic() or "", json.loads(value), len(value), latency_ms, now_ms)
