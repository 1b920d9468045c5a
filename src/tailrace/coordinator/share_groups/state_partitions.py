"""Of which partitions a share group has a state with the share coordinator: the group's own book of it.

    nothing ──a member subscribes──> initializing ──made──> initialized ──offsets or group deleted──> deleting ──> gone

Only initialized partitions are assigned. Invariant: a state that exists is in this book, so that deleting the group
finds it. A value; the record that says it is written whole each time.
Source: Kafka's `ShareGroupStatePartitionMetadataInfo`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from tailrace.cluster.image import MetadataImage

TopicPartitions = Mapping[UUID, frozenset[int]]
_NONE: Final[TopicPartitions] = {}


class StatePartitions(NamedTuple):
    """The book of one group."""

    initializing: TopicPartitions = _NONE
    initialized: TopicPartitions = _NONE
    deleting: frozenset[UUID] = frozenset()
    names: Mapping[UUID, str] = {}
    """Of topics as they were called when they were put down: for people who read the log."""

    def begun(self, added: TopicPartitions, names: Mapping[UUID, str]) -> StatePartitions:
        """States are about to be made."""
        return self._replace(
            initializing=_union(self.initializing, added),
            deleting=self.deleting - added.keys(),
            names={**self.names, **names},
        )

    def made(self, done: TopicPartitions) -> StatePartitions:
        """States were made."""
        return self._replace(initializing=_without(self.initializing, done), initialized=_union(self.initialized, done))

    def not_made(self, failed: TopicPartitions) -> StatePartitions:
        """States could not be made: they are asked for again at a later heartbeat."""
        return self._replace(initializing=_without(self.initializing, failed))

    def ended(self, topics: Iterable[UUID]) -> StatePartitions:
        """The states of these topics are about to be deleted."""
        gone = frozenset(topics)
        return self._replace(
            initialized={topic: indexes for topic, indexes in self.initialized.items() if topic not in gone},
            deleting=self.deleting | gone,
        )

    def deleted(self, topics: Iterable[UUID]) -> StatePartitions:
        """The states of these topics are gone."""
        return self._replace(deleting=self.deleting - frozenset(topics))

    def all_ended(self, image: MetadataImage) -> tuple[StatePartitions, TopicPartitions]:
        """The book when the group goes, and every partition whose state is to be deleted."""
        states = _union(self.initialized, self.initializing)
        for topic_id in self.deleting:
            topic = image.topic_by_id(topic_id)
            if topic is not None:
                states = _union(states, {topic_id: frozenset(range(len(topic.partitions)))})
        return StatePartitions(deleting=frozenset(states), names=self.names), states

    def known_to(self, image: MetadataImage) -> StatePartitions:
        """The book without topics that are gone: what was kept of them is deleted with them."""

        def existing(partitions: TopicPartitions) -> TopicPartitions:
            return {topic: indexes for topic, indexes in partitions.items() if image.topic_by_id(topic) is not None}

        deleting = frozenset(topic for topic in self.deleting if image.topic_by_id(topic) is not None)
        return self._replace(
            initializing=existing(self.initializing), initialized=existing(self.initialized), deleting=deleting
        )


def _union(known: TopicPartitions, added: TopicPartitions) -> dict[UUID, frozenset[int]]:
    found = dict(known)
    for topic, indexes in added.items():
        found[topic] = found.get(topic, frozenset()) | indexes
    return found


def _without(known: TopicPartitions, gone: TopicPartitions) -> dict[UUID, frozenset[int]]:
    found = {}
    for topic, indexes in known.items():
        left = indexes - gone.get(topic, frozenset())
        if left:
            found[topic] = left
    return found
