"""Committed offsets of one group, and when they expire (KIP-211).

explicit expiry (commit v2-v4 with a retention time)   at that time, whatever the group does
group without protocol type (no members ever)          retention after the commit
group Empty                                            retention after it became Empty
consumer group Stable                                  retention after the commit, unless its topic is subscribed
any other state                                        never
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple
from uuid import UUID

from tailrace.base.types import ZERO_TOPIC_ID


class CommittedOffset(NamedTuple):
    """One committed position. Timestamps are wall-clock milliseconds; -1 means none."""

    offset: int
    leader_epoch: int
    metadata: str
    commit_timestamp_ms: int
    expire_timestamp_ms: int = -1
    order: int = 0
    """Which commit of its partition of `__consumer_offsets` this is: of two, the newer has the higher number."""
    topic_id: UUID = ZERO_TOPIC_ID
    """Of the topic it was committed for, where the record says: another topic may have the name by now."""

    def is_of(self, topic_id: UUID) -> bool:
        """Whether it was committed for the topic of that id, as far as is known."""
        return self.topic_id in (ZERO_TOPIC_ID, topic_id)


class Offsets:
    """Committed offsets by topic and partition. A topic without offsets has no entry."""

    __slots__ = ("_topics",)

    def __init__(self) -> None:
        self._topics: dict[str, dict[int, CommittedOffset]] = {}

    def get(self, topic: str, partition: int) -> CommittedOffset | None:
        """The committed offset, if there is one."""
        partitions = self._topics.get(topic)
        return None if partitions is None else partitions.get(partition)

    def set(self, topic: str, partition: int, committed: CommittedOffset) -> None:
        """Remember a commit."""
        self._topics.setdefault(topic, {})[partition] = committed

    def remove(self, topic: str, partition: int) -> None:
        """Forget a commit; harmless when there is none."""
        partitions = self._topics.get(topic)
        if partitions is not None:
            partitions.pop(partition, None)
            if not partitions:
                del self._topics[topic]

    def topics(self) -> list[str]:
        """Topics with offsets, in the order of their first commit."""
        return list(self._topics)

    def partitions(self, topic: str) -> list[int]:
        """Partitions of `topic` with offsets, rising."""
        return sorted(self._topics.get(topic, ()))

    def __iter__(self) -> Iterator[tuple[str, int, CommittedOffset]]:
        for topic, partitions in self._topics.items():
            for partition, committed in partitions.items():
                yield topic, partition, committed

    def __len__(self) -> int:
        return sum(map(len, self._topics.values()))
