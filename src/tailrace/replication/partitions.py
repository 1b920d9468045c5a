"""All partitions this broker leads, by topic and index, those it follows, and those whose storage is offline.

Looked up on every request, changed by metadata deltas and by log directories that fail. A partition is led, followed,
offline, or unknown; only one that is led is found by `get` and `of`.
One that is led may be made when it is first asked for (`lead_missing`), so that a broker of 10,000
partitions starts, and rests, at the price of those that are used.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicId, TopicPartition
from tailrace.replication.partition import Partition
from tailrace.replication.traffic import Traffic


class Partitions:
    """The partitions of this broker. One owner: the loop's thread."""

    __slots__ = ("_by_name", "_followed", "_names", "_offline", "is_elsewhere", "lead_missing", "traffic")

    lead_missing: Callable[[str, int], Partition | None] | None
    """Leads a partition that nobody asked for before, where this broker should; None where it should not, or cannot.
    Called for every name that is not here, so it must be cheap to refuse."""

    def __init__(self) -> None:
        self.lead_missing = None
        self.is_elsewhere: Callable[[str, int], bool] | None = None
        """Whether a partition that is not led here exists all the same. Asked before a client is told that it does
        not."""
        self._followed: dict[TopicPartition, Partition] = {}
        self._offline: dict[str, set[int]] = {}
        self._by_name: dict[str, dict[int, Partition]] = {}
        self._names: dict[TopicId, str] = {}
        self.traffic = Traffic()
        """What is counted of each topic's records."""

    def get(self, topic: str, partition: int) -> Partition | None:
        """The partition, or None when this broker does not lead it."""
        found = self.get_present(topic, partition)
        if found is None and self.lead_missing is not None and not self.is_offline(topic, partition):
            found = self.lead_missing(topic, partition)
        return found

    def get_present(self, topic: str, partition: int) -> Partition | None:
        """The partition if it is led already."""
        of_topic = self._by_name.get(topic)
        return None if of_topic is None else of_topic.get(partition)

    def of(self, topic: str, partition: int, *, or_followed: bool = False) -> Partition:
        """The partition, one that is followed only where that is asked for.

        Raises KAFKA_STORAGE_ERROR when it is offline, NOT_LEADER_OR_FOLLOWER when another broker leads it, or nobody,
        UNKNOWN_TOPIC_OR_PARTITION when unknown.
        """
        of_topic = self._by_name.get(topic)
        found = None if of_topic is None else of_topic.get(partition)
        if found is not None:  # as for nearly every request
            return found
        found = self.get(topic, partition)
        if found is None and or_followed:
            found = self._followed.get(TopicPartition(topic, partition))
        if found is None:
            if self.is_offline(topic, partition):
                raise KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, f"The log directory of {topic}-{partition} is offline.")
            if self.is_elsewhere is not None and self.is_elsewhere(topic, partition):
                raise KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
            raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
        return found

    def get_followed(self, topic_partition: TopicPartition) -> Partition | None:
        """The partition if it is followed."""
        return self._followed.get(topic_partition)

    @property
    def followed(self) -> list[Partition]:
        """Every partition that is followed."""
        return list(self._followed.values())

    def name_of(self, topic_id: TopicId) -> str | None:
        """The name of the topic with this id."""
        return self._names.get(topic_id)

    def add_topic(self, topic_id: TopicId, name: str) -> None:
        """Know a topic's name by its id, whether or not its partitions are here yet."""
        self._names[topic_id] = name

    def remove_topic(self, topic_id: TopicId) -> None:
        """Forget a topic's name, once its partitions are removed."""
        name = self._names.pop(topic_id, None)
        if name is not None:
            self.traffic.on_deleted(name)

    def add(self, partition: Partition) -> None:
        """Take in a partition to lead: created, loaded, or followed before."""
        name, index = partition.topic_partition
        self._followed.pop(partition.topic_partition, None)
        self._by_name.setdefault(name, {})[index] = partition
        partition.traffic = self.traffic.of(name)
        self.add_topic(partition.topic_id, name)
        self._set_online(partition.topic_partition)

    def add_followed(self, partition: Partition) -> None:
        """Take in a partition to follow: created, loaded, or led before."""
        self._pop(partition.topic_partition)
        self._followed[partition.topic_partition] = partition
        partition.traffic = self.traffic.of(partition.topic_partition.topic)
        self.add_topic(partition.topic_id, partition.topic_partition.topic)
        self._set_online(partition.topic_partition)

    def remove(self, topic_partition: TopicPartition) -> Partition | None:
        """Forget a partition and wake those who wait on it, so that they learn it is gone."""
        self._set_online(topic_partition)
        found = self._pop(topic_partition) or self._followed.pop(topic_partition, None)
        if found is not None:
            found.end(ErrorCode.NOT_LEADER_OR_FOLLOWER)
        return found

    def clear(self) -> None:
        """Forget everything, as `remove` does, and lead nothing any more: the end of service."""
        self.lead_missing = None
        for partition in [*self, *self._followed.values()]:
            self.remove(partition.topic_partition)
        self._names.clear()

    def take_offline(self, topic_partition: TopicPartition, topic_id: TopicId) -> None:
        """Stop leading a partition whose storage is gone; until it is led again or removed, asking for it says so."""
        name, index = topic_partition
        self._offline.setdefault(name, set()).add(index)
        self.add_topic(topic_id, name)
        found = self._pop(topic_partition) or self._followed.pop(topic_partition, None)
        if found is not None:
            found.end(ErrorCode.KAFKA_STORAGE_ERROR)

    def is_here(self, topic: str, partition: int) -> bool:
        """Whether the partition is led already, or followed, or offline."""
        is_led = self.get_present(topic, partition) is not None
        return is_led or TopicPartition(topic, partition) in self._followed or self.is_offline(topic, partition)

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
        """Those that are led already."""
        for of_topic in self._by_name.values():
            yield from of_topic.values()

    def __len__(self) -> int:
        return sum(len(of_topic) for of_topic in self._by_name.values())
