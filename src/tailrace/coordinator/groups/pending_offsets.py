"""Offsets committed in transactions that have not ended, of one group: in the log, and not yet true (KIP-98, KIP-447).

A commit marker makes them the group's, each unless something newer was committed outside of the transaction; an abort
marker drops them. Until then `OffsetFetch` with `require_stable` is told UNSTABLE_OFFSET_COMMIT.
Source: Kafka's `OffsetMetadataManager.pendingTransactionalOffsets`.
"""

from __future__ import annotations

from collections import Counter

from tailrace.coordinator.groups.offsets import CommittedOffset

Place = tuple[str, int]


class PendingOffsets:
    """Offsets by producer id, then by topic and partition. A producer without any has no entry."""

    __slots__ = ("_by_producer", "_count_by_place")

    def __init__(self) -> None:
        self._by_producer: dict[int, dict[Place, CommittedOffset]] = {}
        self._count_by_place: Counter[Place] = Counter()
        """How many producers have an offset there."""

    def set(self, producer_id: int, topic: str, partition: int, committed: CommittedOffset) -> None:
        """Remember a commit of an open transaction."""
        of_producer = self._by_producer.setdefault(producer_id, {})
        if (topic, partition) not in of_producer:
            self._count_by_place[topic, partition] += 1
        of_producer[topic, partition] = committed

    def take(self, producer_id: int) -> list[tuple[str, int, CommittedOffset]]:
        """Everything of one producer, which is then forgotten."""
        taken = self._by_producer.pop(producer_id, {})
        for place in taken:
            self._count_by_place[place] -= 1
            if not self._count_by_place[place]:
                del self._count_by_place[place]
        return [(topic, partition, committed) for (topic, partition), committed in taken.items()]

    def remove(self, topic: str, partition: int) -> None:
        """Forget what any producer committed there: it was deleted since."""
        if self._count_by_place.pop((topic, partition), 0):
            for of_producer in self._by_producer.values():
                of_producer.pop((topic, partition), None)

    def has(self, topic: str, partition: int) -> bool:
        """Whether an open transaction has committed an offset there."""
        return (topic, partition) in self._count_by_place

    def places(self) -> list[Place]:
        """Every (topic, partition) with such an offset."""
        return list(self._count_by_place)

    def __len__(self) -> int:
        return len(self._count_by_place)
