"""What a broker that is away is to delete when it returns, as the metadata remembers it."""

from __future__ import annotations

from uuid import UUID

from tailrace.cluster.image import DEPARTED_MAX, MetadataImage
from tailrace.cluster.records import (
    BrokerRecord,
    BrokerStateRecord,
    PartitionRecord,
    Record,
    RemoveBrokerRecord,
    RemoveTopicRecord,
    TopicRecord,
    decode_records,
    encode_records,
)

TOPIC = UUID(int=1)


def cluster(*fenced: int) -> MetadataImage:
    """Brokers 1 to 3; topic "t" on all of them."""
    image = MetadataImage()
    records: list[Record] = []
    for broker in (1, 2, 3):
        records.append(BrokerRecord(broker, "h", 1, None, (), f"life-{broker}"))
        records.append(BrokerStateRecord(broker, 1, is_fenced=broker in fenced))
    image.replay([*records, TopicRecord("t", TOPIC), partition(1, 2, 3)], 1)
    return image


def partition(*replicas: int, topic_id: UUID = TOPIC) -> PartitionRecord:
    return PartitionRecord(topic_id, 0, replicas[0], 0, replicas, replicas, 0)


def departed(image: MetadataImage) -> dict[int, list[tuple[UUID, int]]]:
    again = MetadataImage()
    again.replay(decode_records(encode_records(image.records())), image.version)
    assert again.departed == image.departed, "a snapshot tells it too"
    return {broker: list(replicas) for broker, replicas in image.departed.items()}


def test_a_topic_that_is_deleted_is_remembered_until_each_broker_returned() -> None:
    image = cluster(3)
    image.replay([RemoveTopicRecord(TOPIC)], 2)
    assert departed(image) == {broker: [(TOPIC, 0)] for broker in (1, 2, 3)}
    image.replay([BrokerStateRecord(3, 1, is_fenced=False)], 3)
    assert departed(image) == {broker: [(TOPIC, 0)] for broker in (1, 2)}, "who is heard of may have died before"
    image.replay([RemoveBrokerRecord(2)], 4)
    assert departed(image) == {1: [(TOPIC, 0)]}
    assert sorted(image.brokers) == [1, 3]


def test_a_replica_that_moved_away_and_came_back_is_not_to_be_deleted() -> None:
    image = cluster(3)
    image.replay([partition(1, 2)], 2)
    assert departed(image) == {3: [(TOPIC, 0)]}
    image.replay([partition(1, 2, 3)], 3)
    assert departed(image) == {}


def test_a_broker_that_is_heard_of_has_a_bounded_list() -> None:
    image = cluster(3)
    for number in range(10, 10 + DEPARTED_MAX + 5):
        topic_id = UUID(int=number)
        image.replay([TopicRecord("u", topic_id), partition(1, 3, topic_id=topic_id), RemoveTopicRecord(topic_id)], 2)
    assert len(image.departed[1]) == DEPARTED_MAX
    assert len(image.departed[3]) == DEPARTED_MAX + 5
