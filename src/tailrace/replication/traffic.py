"""What is counted of the records that come and go, by topic: plain integers that partitions of a topic share.

Counters only rise while their topic lives; those of a topic that is deleted are kept in the sum of all, so that it
never falls. Not its business: rates, and how many topics are shown. Source: Kafka BrokerTopicMetrics.
"""

from __future__ import annotations

from typing import Final

COUNTS: Final = (
    "messages_in",
    "bytes_in",
    "bytes_out",
    "failed_produces",
    "failed_fetches",
    "replication_bytes_in",
    "replication_bytes_out",
    "isr_shrinks",
    "isr_expands",
)


class TopicTraffic:
    """Counts of one topic on this broker. Bytes are those of batches as they are stored."""

    __slots__ = (*COUNTS, "is_shown")

    def __init__(self) -> None:
        self.is_shown: bool | None = None
        """Whether it is shown by its name or among the others; None until somebody has decided. It stays decided, for a
        sum of others that lost one would seem to begin again."""
        self.messages_in = 0
        self.bytes_in = 0
        self.bytes_out = 0
        self.failed_produces = 0
        self.failed_fetches = 0
        self.replication_bytes_in = 0
        self.replication_bytes_out = 0
        self.isr_shrinks = 0
        """Changes of a partition led here that took a replica out of those in sync, whoever asked for them."""
        self.isr_expands = 0
        """Changes that took one in."""

    def add(self, other: TopicTraffic) -> None:
        """Add another's counts."""
        for name in COUNTS:
            setattr(self, name, getattr(self, name) + getattr(other, name))


class Traffic:
    """Counts of every topic that has, or had, a partition here. One owner: the loop's thread."""

    __slots__ = ("_topics", "deleted", "deleted_others")

    def __init__(self) -> None:
        self._topics: dict[str, TopicTraffic] = {}
        self.deleted = TopicTraffic()
        """Of topics that are gone."""
        self.deleted_others = TopicTraffic()
        """Of those among them that were not shown by their names."""

    def of(self, topic: str) -> TopicTraffic:
        """The counts of a topic, to be added to."""
        found = self._topics.get(topic)
        if found is None:
            found = self._topics[topic] = TopicTraffic()
        return found

    def on_deleted(self, topic: str) -> None:
        """A topic is gone, and a new one of its name would begin at zero."""
        found = self._topics.pop(topic, None)
        if found is not None:
            self.deleted.add(found)
            if found.is_shown is False:
                self.deleted_others.add(found)

    def is_shown(self, topic: str) -> bool:
        """Whether it was decided that the topic is shown by its name."""
        found = self._topics.get(topic)
        return found is not None and found.is_shown is True

    def topics(self) -> list[tuple[str, TopicTraffic]]:
        """Every topic, in the order in which they came."""
        return list(self._topics.items())


NOBODYS: Final = TopicTraffic()
"""For a partition that is in no collection."""
