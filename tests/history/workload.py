"""Real clients that work on a broker and write down what they are told: the histories that the checker reads.

Every client is librdkafka in a thread of its own, with one life from the first start of the broker to the end: it meets
every crash. Values carry their own checksum and a filling that follows from their name, so that one changed byte shows.

Not here: when the broker is killed (`kills`), what is right (`checker`). Topics and what befalls them meanwhile:

    plain       two partitions; records stay
    flushed     flush.messages, so that the recovery point lies inside the active segment
    trimmed     DeleteRecords, again and again
    expiring    retention by size takes segments away
    compacted   few keys, compacted as often as the broker will
"""

from __future__ import annotations

import threading
import time
import zlib
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from confluent_kafka import (
    OFFSET_BEGINNING,
    Consumer,
    KafkaError,
    KafkaException,
    Message,
    Producer,
    TopicPartition,
)
from confluent_kafka.admin import AdminClient, NewTopic
from tests.history.model import (
    ALL_PROMISES,
    Bounds,
    Commit,
    Committed,
    DeleteRecords,
    History,
    Key,
    Op,
    Outcome,
    PartitionRules,
    Promise,
    Read,
    Reposition,
    Send,
    Step,
)
from tests.history.view import FINAL

TIMEOUT_S = 30.0
SHORT_TIMEOUT_S = 5.0
SENDS_PER_S = 1000
FILLING_MAX_BYTES = 3000
ROLLING = {"segment.ms": "150", "index.interval.bytes": "300", "file.delete.delay.ms": "100"}

TOPICS: dict[str, tuple[int, dict[str, str], PartitionRules]] = {
    "plain": (2, {}, PartitionRules()),
    "flushed": (1, {"flush.messages": "7"}, PartitionRules()),
    "trimmed": (1, {}, PartitionRules()),
    "expiring": (1, {"retention.bytes": "200000"}, PartitionRules(expires=True)),
    "compacted": (
        1,
        {
            "cleanup.policy": "compact",
            "min.cleanable.dirty.ratio": "0.01",
            "max.compaction.lag.ms": "300",
            "delete.retention.ms": "100",
        },
        PartitionRules(is_compacted=True),
    ),
}
KEYS = [Key(topic, partition) for topic, (count, _, _) in TOPICS.items() for partition in range(count)]
COMPACTED_KEY_COUNT = 20

COMMON: dict[str, Any] = {
    "reconnect.backoff.ms": 10,
    "reconnect.backoff.max.ms": 100,
    "retry.backoff.ms": 10,
    "retry.backoff.max.ms": 100,
    "socket.timeout.ms": 5000,
    "topic.metadata.refresh.fast.interval.ms": 20,
    "error_cb": lambda error: None,
    "log_level": 0,
}

PRODUCERS: dict[str, tuple[dict[str, Any], Promise]] = {
    "idempotent-1": ({"enable.idempotence": True, "linger.ms": 1}, ALL_PROMISES),
    "idempotent-2": ({"enable.idempotence": True, "linger.ms": 5, "compression.type": "zstd"}, ALL_PROMISES),
    "retrying": ({"acks": "all", "retries": 1000, "max.in.flight": 1}, Promise.KEPT),
    "leader-only": ({"acks": "1", "retries": 0, "compression.type": "lz4"}, ALL_PROMISES),
}


class Recorder:
    """The history while it is made, by many threads; numbers the values."""

    def __init__(self) -> None:
        self.history = History(rules={topic: rules for topic, (_, _, rules) in TOPICS.items()})
        self.fatal: list[str] = []
        """What no client should be told."""

    def add(self, process: str, steps: Sequence[Step], outcome: Outcome, invoked: float, error: str = "") -> None:
        completed = time.monotonic() if outcome is not Outcome.INFO else float("inf")
        self.history.ops.append(Op(process, list(steps), outcome, invoked, completed, error=error))


def encode_value(name: str) -> bytes:
    """The record of a name: name, filling, checksum."""
    body = name.encode() + b"|" + name.encode() * (zlib.crc32(name.encode()) % FILLING_MAX_BYTES // len(name))
    return body + b"|%08x" % zlib.crc32(body)


def decode_value(value: bytes | None) -> str:
    """The name in a record, or something nobody sent where a byte is not as it was."""
    name = (value or b"").partition(b"|")[0].decode(errors="replace")
    return name if value is not None and name and encode_value(name) == value else f"changed {value!r}"


class ProducerThread(threading.Thread):
    """Sends to every partition in turn, with at most a few hundred on their way."""

    def __init__(self, name: str, address: str, recorder: Recorder, seed: str) -> None:
        super().__init__(name=name, daemon=True)
        config, self._promise = PRODUCERS[name]
        self._producer = Producer(
            {**COMMON, "bootstrap.servers": address, "delivery.timeout.ms": 120_000, "linger.ms": 0, **config}
        )
        self._recorder = recorder
        self._random = Random(seed)
        self._stopped = threading.Event()
        self.acknowledged = 0

    def run(self) -> None:
        number = 0
        while not self._stopped.is_set():
            self._send(number)
            number += 1
            self._producer.poll(0)
            if self._random.random() < 0.3:
                self._stopped.wait(self._random.random() * 6 / SENDS_PER_S)
            while len(self._producer) > 300 and not self._stopped.is_set():
                self._producer.poll(0.02)

    def _send(self, number: int) -> None:
        key = self._random.choice(KEYS)
        record_key = f"k{self._random.randrange(COMPACTED_KEY_COUNT)}"
        name = f"{self.name}.{number}"
        invoked = time.monotonic()

        def delivered(error: KafkaError | None, message: Message) -> None:
            offset = None if error is not None else message.offset()
            outcome = Outcome.OK if error is None else Outcome.INFO
            if error is not None and error.fatal():
                self._recorder.fatal.append(f"{self.name}: {error}")
            send = Send(key, name, offset if offset is None or offset >= 0 else None, record_key, self._promise)
            self.acknowledged += error is None
            self._recorder.add(self.name, [send], outcome, invoked, str(error or ""))

        try:
            self._producer.produce(key.topic, encode_value(name), record_key, key.partition, on_delivery=delivered)
        except KafkaException as error:  # a fatal error ends an idempotent producer
            self._recorder.fatal.append(f"{self.name}: {error}")
            self._stopped.set()

    def finish(self) -> None:
        """Send nothing more, and wait for what is on its way."""
        self._stopped.set()
        self.join(TIMEOUT_S)
        left = self._producer.flush(TIMEOUT_S)
        if left:
            self._recorder.fatal.append(f"{self.name}: {left} records were neither acknowledged nor refused")


class ConsumerThread(threading.Thread):
    """Reads its partitions by assignment from the start on, and commits what it has read."""

    def __init__(self, name: str, address: str, recorder: Recorder, keys: Sequence[Key]) -> None:
        super().__init__(name=name, daemon=True)
        self._consumer = Consumer(
            {
                **COMMON,
                "bootstrap.servers": address,
                "group.id": name,
                "enable.auto.commit": False,
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 50,
                "fetch.error.backoff.ms": 10,
            }
        )
        self._recorder = recorder
        self._keys = keys
        self._stopped = threading.Event()
        self.read_count = 0

    def run(self) -> None:
        self._consumer.assign([TopicPartition(*key, OFFSET_BEGINNING) for key in self._keys])
        self._recorder.add(self.name, [Reposition(tuple(self._keys))], Outcome.OK, time.monotonic())
        while not self._stopped.is_set():
            invoked = time.monotonic()
            by_key = by_partition(self._consumer.consume(500, 0.1))
            if not by_key:
                continue
            steps = [Read(key, tuple(records)) for key, records in by_key.items()]
            self._recorder.add(self.name, steps, Outcome.OK, invoked)
            self.read_count += sum(len(step.records) for step in steps)
            self._commit({key: records[-1][0] + 1 for key, records in by_key.items()})
        self._consumer.close()

    def _commit(self, offsets: dict[Key, int]) -> None:
        invoked = time.monotonic()
        steps = [Commit(self.name, key, offset) for key, offset in offsets.items()]
        try:
            self._consumer.commit(
                offsets=[TopicPartition(*key, offset) for key, offset in offsets.items()], asynchronous=False
            )
        except KafkaException as error:
            self._recorder.add(self.name, steps, Outcome.INFO, invoked, str(error))
        else:
            self._recorder.add(self.name, steps, Outcome.OK, invoked)

    def finish(self) -> None:
        self._stopped.set()
        self.join(TIMEOUT_S)


class AdminThread(threading.Thread):
    """Trims the topic that is trimmed, and looks where partitions start and end and what is committed."""

    def __init__(self, address: str, recorder: Recorder, groups: Sequence[str], seed: str) -> None:
        super().__init__(name="admin", daemon=True)
        self._recorder = recorder
        self._observer = Observer(address, recorder, self.name)
        self._groups = groups
        self._random = Random(seed)
        self._stopped = threading.Event()

    def run(self) -> None:
        trimmed = Key("trimmed", 0)
        while not self._stopped.wait(self._random.random() / 4):
            try:
                for key in KEYS:
                    end = self._observer.bounds(key)
                    if key == trimmed and end > 20:
                        self._observer.delete_before(key, self._random.randrange(end - 20, end))
            except KafkaException:
                continue  # the broker is down
        self._observer.close()

    def finish(self) -> None:
        self._stopped.set()
        self.join(TIMEOUT_S)


class Observer:
    """Asks where partitions start and end, what is committed, and reads whole partitions."""

    def __init__(self, address: str, recorder: Recorder, process: str) -> None:
        self._config = {**COMMON, "bootstrap.servers": address}
        self._recorder = recorder
        self._process = process
        self._admin = AdminClient(self._config)
        self._consumer = self._new_consumer("observer")

    def _new_consumer(self, group: str) -> Consumer:
        return Consumer({**self._config, "group.id": group, "enable.auto.commit": False, "fetch.wait.max.ms": 50})

    def bounds(self, key: Key, timeout_s: float = SHORT_TIMEOUT_S) -> int:
        """Note where the partition starts and ends; the end."""
        invoked = time.monotonic()
        # cached=False asks the broker; the low end first, so that both are of one moment or the end is later.
        low, high = self._consumer.get_watermark_offsets(TopicPartition(*key), timeout_s, cached=False)
        self._recorder.add(self._process, [Bounds(key, low, high)], Outcome.OK, invoked)
        return high

    def delete_before(self, key: Key, offset: int) -> None:
        invoked = time.monotonic()
        step = DeleteRecords(key, offset)
        future = self._admin.delete_records([TopicPartition(*key, offset)], request_timeout=SHORT_TIMEOUT_S)
        try:
            for each in future.values():
                each.result(SHORT_TIMEOUT_S + 1)
        except KafkaException as error:
            self._recorder.add(self._process, [step], Outcome.INFO, invoked, str(error))
        else:
            self._recorder.add(self._process, [step], Outcome.OK, invoked)

    def committed(self, group: str) -> None:
        consumer = self._new_consumer(group)
        invoked = time.monotonic()
        found = consumer.committed([TopicPartition(*key) for key in KEYS], TIMEOUT_S)
        steps = [Committed(group, Key(each.topic, each.partition), max(each.offset, -1)) for each in found]
        self._recorder.add(self._process, steps, Outcome.OK, invoked)
        consumer.close()

    def read_all(self, key: Key) -> None:
        """Read the partition from its start to its end, as the last word on it."""
        end = self.bounds(key, TIMEOUT_S)
        consumer = self._new_consumer("final")
        consumer.assign([TopicPartition(*key, OFFSET_BEGINNING)])
        invoked = time.monotonic()
        records: list[tuple[int, str]] = []
        deadline = invoked + TIMEOUT_S
        while position_of(consumer, key) < end and time.monotonic() < deadline:
            records += by_partition(consumer.consume(5000, 0.05)).get(key, [])
        consumer.close()
        self._recorder.add(FINAL, [Read(key, tuple(records))], Outcome.OK, invoked)

    def close(self) -> None:
        self._consumer.close()


def position_of(consumer: Consumer, key: Key) -> int:
    [found] = consumer.position([TopicPartition(*key)])
    return int(found.offset)


def by_partition(messages: Sequence[Message]) -> dict[Key, list[tuple[int, str]]]:
    """(offset, name) of each record, by partition."""
    found: dict[Key, list[tuple[int, str]]] = {}
    for message in messages:
        if message.error() is None:
            key = Key(message.topic(), message.partition())
            found.setdefault(key, []).append((message.offset(), decode_value(message.value())))
    return found


class Workload:
    """All the clients of one run."""

    def __init__(self, address: str, seed: int) -> None:
        self.recorder = Recorder()
        self._address = address
        self.producers = [ProducerThread(name, address, self.recorder, f"{seed} {name}") for name in PRODUCERS]
        self.consumers = [
            ConsumerThread("reads-all", address, self.recorder, KEYS),
            ConsumerThread("reads-some", address, self.recorder, KEYS[::2]),
        ]
        self.admin = AdminThread(address, self.recorder, [each.name for each in self.consumers], f"{seed} admin")

    def create_topics(self) -> None:
        admin = AdminClient({**COMMON, "bootstrap.servers": self._address})
        topics = [NewTopic(name, count, 1, config={**ROLLING, **config}) for name, (count, config, _) in TOPICS.items()]
        for future in admin.create_topics(topics).values():
            future.result(TIMEOUT_S)

    def start(self) -> None:
        for thread in [*self.producers, *self.consumers, self.admin]:
            thread.start()

    def finish(self, restart: Callable[[], None]) -> None:
        """End the clients, and read everything twice, with a `restart` between: the two must agree, too."""
        for thread in [*self.producers, *self.consumers, self.admin]:
            thread.finish()
        for again in (False, True):
            if again:
                restart()
            observer = Observer(self._address, self.recorder, "observer")
            for key in KEYS:
                observer.read_all(key)
            for consumer in self.consumers:
                observer.committed(consumer.name)
            observer.close()
