"""All partitions this broker leads, by topic and index, and those it should lead but whose storage is offline.

Looked up on every request, changed by metadata deltas and by log directories that fail. A partition is led, offline,
or unknown.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicId, TopicPartition
from tailrace.replication.partition import Partition


class Partitions:
    """The partitions of this broker. One owner: the loop's thread."""

    __slots__ = ("_by_name", "_names", "_offline")

    def __init__(self) -> None:
        self._offline: dict[str, set[int]] = {}
        self._by_name: dict[str, dict[int, Partition]] = {}
        self._names: dict[TopicId, str] = {}

    def get(self, topic: str, partition: int) -> Partition | None:
        """The partition, or None when this broker does not lead it."""
        of_topic = self._by_name.get(topic)
        return None if of_topic is None else of_topic.get(partition)

    def of(self, topic: str, partition: int) -> Partition:
        """The partition; raises KAFKA_STORAGE_ERROR when it is offline, UNKNOWN_TOPIC_OR_PARTITION when unknown."""
        found = self.get(topic, partition)
        if found is None:
            if self.is_offline(topic, partition):
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"The log directory of {topic}-{partition} is offline.")
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return found

    def name_of(self, topic_id: TopicId) -> str | None:
        """The name of the topic with this id."""
        return self._names.get(topic_id)

    def of_topic(self, topic: str) -> dict[int, Partition]:
        """The partitions of one topic by index; empty when unknown. Not to be changed."""
        return self._by_name.get(topic, {})

    def add(self, partition: Partition) -> None:
        """Take in a partition that was created or loaded."""
        name, index = partition.topic_partition
        self._by_name.setdefault(name, {})[index] = partition
        self._names[partition.topic_id] = name
        self._set_online(partition.topic_partition)

    def remove(self, topic_partition: TopicPartition) -> Partition | None:
        """Forget a partition and wake those who wait on it, so that they learn it is gone."""
        self._set_online(topic_partition)
        found = self._pop(topic_partition)
        name = topic_partition.topic
        if name not in self._by_name and name not in self._offline:
            self._names = {topic_id: other for topic_id, other in self._names.items() if other != name}
        if found is not None:
            found.wake_waiters()
        return found

    def take_offline(self, topic_partition: TopicPartition, topic_id: TopicId) -> None:
        """Stop leading a partition whose storage is gone; until it is led again or removed, asking for it says so."""
        name, index = topic_partition
        self._offline.setdefault(name, set()).add(index)
        self._names[topic_id] = name
        found = self._pop(topic_partition)
        if found is not None:
            found.wake_waiters()

    def is_offline(self, topic: str, partition: int) -> bool:
        """Whether the partition is this broker's but its storage is not to be had."""
        return partition in self._offline.get(topic, ())

    @property
    def offline(self) -> list[TopicPartition]:
        """Every partition that is offline."""
        return [TopicPartition(name, index) for name, indexes in self._offline.items() for index in sorted(indexes)]

    def _set_online(self, topic_partition: TopicPartition) -> None:
        indexes = self._offline.get(topic_partition.topic)
        if indexes is not None:
            indexes.discard(topic_partition.partition)
            if not indexes:
                del self._offline[topic_partition.topic]

    def _pop(self, topic_partition: TopicPartition) -> Partition | None:
        of_topic = self._by_name.get(topic_partition.topic)
        found = None if of_topic is None else of_topic.pop(topic_partition.partition, None)
        if of_topic is not None and not of_topic:
            del self._by_name[topic_partition.topic]
        return found

    def __iter__(self) -> Iterator[Partition]:
        for of_topic in self._by_name.values():
            yield from of_topic.values()

    def __len__(self) -> int:
        return sum(len(of_topic) for of_topic in self._by_name.values())
