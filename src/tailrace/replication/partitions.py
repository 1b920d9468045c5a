"""All partitions this broker leads, by topic and index. Looked up on every request, changed by metadata deltas only."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicId, TopicPartition
from tailrace.replication.partition import Partition


class Partitions:
    """The partitions of this broker. One owner: the loop's thread."""

    __slots__ = ("_by_name", "_names")

    def __init__(self) -> None:
        self._by_name: dict[str, dict[int, Partition]] = {}
        self._names: dict[TopicId, str] = {}

    def get(self, topic: str, partition: int) -> Partition | None:
        """The partition, or None when this broker does not lead it."""
        of_topic = self._by_name.get(topic)
        return None if of_topic is None else of_topic.get(partition)

    def of(self, topic: str, partition: int) -> Partition:
        """The partition; raises UNKNOWN_TOPIC_OR_PARTITION when there is none."""
        found = self.get(topic, partition)
        if found is None:
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

    def remove(self, topic_partition: TopicPartition) -> Partition | None:
        """Forget a partition and wake those who wait on it, so that they learn it is gone."""
        of_topic = self._by_name.get(topic_partition.topic)
        found = None if of_topic is None else of_topic.pop(topic_partition.partition, None)
        if of_topic is not None and not of_topic:
            del self._by_name[topic_partition.topic]
            if found is not None:
                self._names.pop(found.topic_id, None)
        if found is not None:
            found.wake_waiters()
        return found

    def __iter__(self) -> Iterator[Partition]:
        for of_topic in self._by_name.values():
            yield from of_topic.values()

    def __len__(self) -> int:
        return sum(len(of_topic) for of_topic in self._by_name.values())
