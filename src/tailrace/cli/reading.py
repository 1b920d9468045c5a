"""Beginning to read: join a group, or take partitions at the offsets a position means in them.

Without a group an explicit offset is kept within what a partition holds, so that one that has expired, or lies beyond
the end of a shorter partition, reads what there is instead of whatever `auto.offset.reset` says.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

from confluent_kafka import OFFSET_BEGINNING, OFFSET_END, Consumer, KafkaError, KafkaException, Message, TopicPartition

from tailrace.cli.cluster import Cluster
from tailrace.cli.cluster_errors import explain
from tailrace.cli.failure import CommandFailed
from tailrace.cli.positions import Position


@dataclass(slots=True)
class Reading:
    """The partitions being read, and those of them whose end has been seen since their last record."""

    assigned: set[tuple[str, int]] = field(default_factory=set)
    at_end: set[tuple[str, int]] = field(default_factory=set)

    def on_record(self, message: Message) -> None:
        """A record came: its partition was not at its end after all."""
        if self.at_end:
            self.at_end.discard((message.topic() or "", message.partition() or 0))

    def on_end(self, message: Message) -> None:
        """A partition's end was reached."""
        self.at_end.add((message.topic() or "", message.partition() or 0))

    @property
    def finished(self) -> bool:
        """Whether every partition is at its end."""
        return bool(self.assigned) and self.assigned <= self.at_end


def join_group(cluster: Cluster, consumer: Consumer, topics: Sequence[str]) -> Reading:
    """Subscribe as a member of the consumer's group; the reading follows its assignments."""
    _partitions(cluster, consumer, topics)
    reading = Reading()

    def on_assign(member: Consumer, places: list[TopicPartition]) -> None:
        reading.assigned |= {(place.topic, place.partition) for place in places}
        reading.at_end &= reading.assigned

    def on_revoke(member: Consumer, places: list[TopicPartition]) -> None:
        reading.assigned -= {(place.topic, place.partition) for place in places}

    consumer.subscribe(list(topics), on_assign=on_assign, on_revoke=on_revoke, on_lost=on_revoke)
    return reading


def take_partitions(
    cluster: Cluster, consumer: Consumer, topics: Sequence[str], wanted: Sequence[int], start: Position
) -> Reading:
    """Assign the `wanted` partitions of the topics, all when none is named, at `start`. Commits nothing."""
    places = [place for place in _partitions(cluster, consumer, topics) if not wanted or place.partition in wanted]
    missing = set(wanted) - {place.partition for place in places}
    if missing:
        raise CommandFailed(
            f"no partition {min(missing)} in {', '.join(topics)}; `tailrace topics describe` shows the partitions."
        )
    consumer.assign(_placed(cluster, consumer, places, start))
    return Reading(assigned={(place.topic, place.partition) for place in places})


def _partitions(cluster: Cluster, consumer: Consumer, topics: Sequence[str]) -> list[TopicPartition]:
    """All partitions of the topics; fails for a topic that does not exist, or when no broker answers."""
    found = cluster.metadata(consumer).topics
    for topic in topics:
        if topic not in found:
            raise explain(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART), f"cannot read topic {topic}")
    return [TopicPartition(topic, partition) for topic in topics for partition in sorted(found[topic].partitions)]


def _placed(
    cluster: Cluster, consumer: Consumer, places: list[TopicPartition], start: Position
) -> list[TopicPartition]:
    """The partitions with the offsets `start` means in them."""
    match start.kind:
        case "earliest":
            return [TopicPartition(place.topic, place.partition, OFFSET_BEGINNING) for place in places]
        case "time":
            asked = [TopicPartition(place.topic, place.partition, start.number) for place in places]
            try:
                return consumer.offsets_for_times(asked, timeout=cluster.timeout_s)
            except KafkaException as failure:
                raise explain(failure.args[0], "cannot find that time") from failure
        case "offset":
            return [_within(cluster, consumer, place, start.number) for place in places]
    return [TopicPartition(place.topic, place.partition, OFFSET_END) for place in places]


def _within(cluster: Cluster, consumer: Consumer, place: TopicPartition, number: int) -> TopicPartition:
    """Offset `number`, or so many before the end when negative, within what the partition holds."""
    try:
        low, high = consumer.get_watermark_offsets(place, timeout=cluster.timeout_s)
    except KafkaException as failure:
        raise explain(failure.args[0], f"cannot find the end of {place.topic}-{place.partition}") from failure
    target = number if number >= 0 else high + number
    return TopicPartition(place.topic, place.partition, min(max(target, low), high))
