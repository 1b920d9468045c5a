"""A difference between two images, replayed, gives the second."""

from __future__ import annotations

from uuid import UUID

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tailrace.cluster.image import MetadataImage
from tailrace.cluster.image_difference import difference
from tailrace.cluster.records import (
    BrokerRecord,
    BrokerStateRecord,
    ClusterRecord,
    ConfigRecord,
    DepartedRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    ResourceType,
    TopicRecord,
)

TOPICS = st.dictionaries(
    st.sampled_from(["a", "b", "c"]),
    st.tuples(st.integers(1, 3), st.lists(st.integers(1, 3), min_size=1, max_size=3)),
)
CONFIGS = st.dictionaries(
    st.tuples(
        st.sampled_from([(ResourceType.TOPIC, "a"), (ResourceType.TOPIC, "b"), (ResourceType.BROKER, "")]),
        st.sampled_from(["x", "y"]),
    ),
    st.sampled_from(["1", "2"]),
)


@st.composite
def images(draw: st.DrawFn, version: int) -> MetadataImage:
    """Some cluster. A topic's id says how often its name was used, so that one may be made anew."""
    topics = draw(TOPICS)
    records: list[Record] = [ClusterRecord("c"), BrokerRecord(1, draw(st.sampled_from(["h", "i"])), 1, None)]
    for name, (generation, leaders) in topics.items():
        topic_id = UUID(int=ord(name) * 10 + generation)
        records.append(TopicRecord(name, topic_id))
        records += (
            PartitionRecord(topic_id, index, leader, 0, (leader,), (leader,), 0) for index, leader in enumerate(leaders)
        )
    for ((kind, resource), name), value in draw(CONFIGS).items():
        if kind != ResourceType.TOPIC or resource in topics:
            records.append(ConfigRecord(kind, resource, name, value))
    for broker_id in draw(st.sets(st.integers(2, 4))):
        records.append(BrokerRecord(broker_id, "h", 1, None, (), "life"))
        records.append(BrokerStateRecord(broker_id, draw(st.integers(1, 2)), is_fenced=draw(st.booleans())))
        departed = draw(st.lists(st.tuples(st.uuids(version=4), st.integers(0, 2)), max_size=2, unique=True))
        records.append(DepartedRecord(broker_id, tuple(departed)))
    records.append(ProducerIdsRecord(1, draw(st.sampled_from([1000, 2000]))))
    image = MetadataImage()
    image.replay(records, version)
    return image


def grown(before: MetadataImage, after: MetadataImage) -> bool:
    """Whether no topic lost a partition, which topics do not."""
    for topic in after.topics.values():
        known = before.topic_by_id(topic.topic_id)
        if known is not None and len(known.partitions) > len(topic.partitions):
            return False
    return True


def contents(image: MetadataImage) -> list[str]:
    return sorted(str(record._asdict() | {"broker_id": 0}) for record in image.records())


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(images(version=5), images(version=9))
def test_the_difference_leads_from_one_to_the_other(before: MetadataImage, after: MetadataImage) -> None:
    if grown(before, after):
        before.replay(difference(before, after), after.version)
        assert contents(before) == contents(after)
        assert difference(before, after) == []


def test_a_topic_made_anew_is_deleted_and_created() -> None:
    before, after = MetadataImage(), MetadataImage()
    for image, number in ((before, 1), (after, 2)):
        topic = UUID(int=number)
        image.replay([TopicRecord("a", topic), PartitionRecord(topic, 0, 1, 0, (1,), (1,), 0)], number)
    delta = before.replay(difference(before, after), 2)
    assert [topic.topic_id for topic in delta.topics_deleted] == [UUID(int=1)]
    assert [topic.topic_id for topic in delta.topics_created] == [UUID(int=2)]
