"""Consumers of librdkafka: one that is assigned its partitions, members of a group, and one that changes its mind."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from tests.history.model import Commit, Key, Outcome, Read, Reposition, Step
from tests.history.process import Process, Run
from tests.history.topics import COMMON, KEYS, SESSION_TIMEOUT_MS, TOPICS, decode_value

POLL_RECORDS = 300
POLL_S = 0.1
TURNING = 1 / 24
"""How likely a roaming reader changes what it reads, each time it polls."""
LEAVING = 1 / 80
"""The same of a member that leaves its group."""

GROUP_PROTOCOLS: dict[str, dict[str, Any]] = {
    "range": {"partition.assignment.strategy": "range"},
    "cooperative": {"partition.assignment.strategy": "cooperative-sticky"},
    "consumer": {"group.protocol": "consumer"},
}


def new_consumer(
    address: str, group: str, *, is_committed: bool = True, protocol: str = "range", idle_max_ms: int = 60_000
) -> Consumer:
    """A consumer that commits only when it is told to."""
    of_group = dict(GROUP_PROTOCOLS[protocol])
    if protocol != "consumer":
        of_group |= {"session.timeout.ms": SESSION_TIMEOUT_MS, "heartbeat.interval.ms": 300}
    return Consumer(
        {
            **COMMON,
            **of_group,
            "bootstrap.servers": address,
            "group.id": group,
            "isolation.level": "read_committed" if is_committed else "read_uncommitted",
            "max.poll.interval.ms": idle_max_ms,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.wait.max.ms": 50,
            "fetch.error.backoff.ms": 10,
        }
    )


def records_of(messages: Sequence[Message]) -> list[tuple[Key, int, str]]:
    """(partition, offset, name) of each record, in order."""
    return [
        (Key(message.topic(), message.partition()), message.offset(), decode_value(message.value()))
        for message in messages
        if message.error() is None
    ]


def reading_steps(records: Sequence[tuple[Key, int, str]], moved: set[Key], is_committed: bool = True) -> list[Step]:
    """What a poll brought. Of partitions that `moved` while it ran nobody knows before which record they did."""
    steps: list[Step] = []
    by_key: dict[Key, list[tuple[int, str]]] = {}
    for key, offset, name in records:
        if key in moved:
            steps += [Reposition((key,)), Read(key, ((offset, name),), is_committed)]
        else:
            by_key.setdefault(key, []).append((offset, name))
    steps += [Read(key, tuple(found), is_committed) for key, found in by_key.items()]
    if moved:
        steps += [Reposition(tuple(sorted(moved)))]
    return steps


def ends_of(records: Sequence[tuple[Key, int, str]]) -> dict[Key, int]:
    """The offset after the last record of each partition."""
    return {key: offset + 1 for key, offset, _ in records}


def partitions_of(offsets: dict[Key, int]) -> list[TopicPartition]:
    return [TopicPartition(*key, offset) for key, offset in offsets.items()]


class ReadingProcess(Process):
    """A consumer that notes each poll, and commits if it is asked to."""

    def __init__(self, name: str, run: Run, *, is_committed: bool, group: str = "", protocol: str = "range") -> None:
        super().__init__(name, run)
        self._group = group or name
        self._is_committed = is_committed
        self._protocol = protocol
        self._moved: set[Key] = set()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Take a consumer that knows nothing of what was before."""
        self.consumer = new_consumer(
            self.address, self._group, is_committed=self._is_committed, protocol=self._protocol
        )

    def subscribe(self, topics: Sequence[str]) -> None:
        """Join the group; what it moves is noted."""
        self.consumer.subscribe(list(topics), on_assign=self._on_move, on_revoke=self._on_move, on_lost=self._on_move)

    def _on_move(self, consumer: Consumer, partitions: Sequence[TopicPartition]) -> None:
        self._moved.update(Key(each.topic, each.partition) for each in partitions)

    def poll(self) -> dict[Key, int]:
        """Read on; the offsets that may be committed for it."""
        invoked = time.monotonic()
        records = records_of(self.consumer.consume(POLL_RECORDS, POLL_S))
        moved, self._moved = self._moved, set()
        if records or moved:
            steps = reading_steps(records, moved, self._is_committed)
            self.recorder.add(self.name, steps, Outcome.OK, invoked)
        return {key: offset for key, offset in ends_of(records).items() if key not in moved}

    def commit(self, offsets: dict[Key, int]) -> None:
        """Commit, and note how it went."""
        if not offsets:
            return
        invoked = time.monotonic()
        steps = [Commit(self._group, key, offset) for key, offset in offsets.items()]
        try:
            self.consumer.commit(offsets=partitions_of(offsets), asynchronous=False)
        except KafkaException as error:
            self.recorder.add(self.name, steps, Outcome.INFO, invoked, str(error))
        else:
            self.recorder.add(self.name, steps, Outcome.OK, invoked)


class AssignedReader(ReadingProcess):
    """Reads its partitions from the start on."""

    def __init__(self, name: str, run: Run, keys: Sequence[Key], *, is_committed: bool) -> None:
        super().__init__(name, run, is_committed=is_committed)
        self._keys = tuple(keys)

    def work(self) -> None:
        self.consumer.assign([TopicPartition(*key, OFFSET_BEGINNING) for key in self._keys])
        self.recorder.add(self.name, [Reposition(self._keys)], Outcome.OK, time.monotonic())
        while not self.stopped.is_set():
            self.commit(self.poll())
        self.consumer.close()


class GroupReader(ReadingProcess):
    """A member of a group that shares all topics; it leaves and comes back now and then."""

    def __init__(self, name: str, run: Run, group: str, protocol: str) -> None:
        super().__init__(name, run, is_committed=True, group=group, protocol=protocol)

    def work(self) -> None:
        self.subscribe(list(TOPICS))
        while not self.stopped.is_set():
            self.commit(self.poll())
            if self.random.random() < LEAVING:
                invoked = time.monotonic()
                self._leave()
                self.recorder.add(self.name, [Reposition(tuple(KEYS))], Outcome.OK, invoked)
                self.stopped.wait(self.random.random() * 0.3)
                self.subscribe(list(TOPICS))
        self.consumer.close()

    def _leave(self) -> None:
        """librdkafka 2.16, under the consumer protocol, that left and came back before may have joined with a heartbeat
        that names no partitions, as only members may; it takes the INVALID_REQUEST for its end."""
        try:
            self.consumer.unsubscribe()
        except KafkaException as error:
            if self._protocol != "consumer" or error.args[0].code() != KafkaError._FATAL:
                raise
            self.consumer.close()
            self.begin_anew()


class RoamingReader(ReadingProcess):
    """Subscribes to some topics, is assigned some partitions, and again.

    Each time with another consumer: of librdkafka 2.16 a query for the beginning that an earlier assignment has left to
    be retried takes the next one back, too.
    """

    def work(self) -> None:
        while not self.stopped.is_set():
            is_assigned = self.random.random() < 0.5
            keys = self.random.sample(KEYS, self.random.randint(1, len(KEYS)))
            invoked = time.monotonic()
            if is_assigned:
                self.consumer.assign([TopicPartition(*key, OFFSET_BEGINNING) for key in keys])
            else:
                self.subscribe(sorted({key.topic for key in keys}))
            self.recorder.add(self.name, [Reposition(tuple(KEYS))], Outcome.OK, invoked)
            while not self.stopped.is_set() and self.random.random() >= TURNING:
                self.poll()
            self.consumer.close()
            self.begin_anew()
        self.consumer.close()
