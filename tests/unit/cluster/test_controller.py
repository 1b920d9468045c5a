"""Decisions about topics. Codes and messages are those that Apache Kafka 4.3.1 gave to the same requests."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.rand import SeededRandom
from tailrace.cluster.auto_topics import auto_topic
from tailrace.cluster.controller import (
    Decision,
    TopicDefaults,
    TopicWish,
    decide_auto_create,
    decide_create_partitions,
    decide_create_topics,
    decide_delete_topic,
)
from tailrace.cluster.image import INTERNAL_TOPICS, MetadataImage
from tailrace.cluster.records import BrokerRecord
from tailrace.cluster.settings import BrokerSettings

DEFAULTS = TopicDefaults(partition_count=2, replication_factor=1)


def cluster_of(*brokers: int) -> MetadataImage:
    image = MetadataImage()
    image.replay([BrokerRecord(broker, "h", 9092, None) for broker in brokers], 1)
    return image


def decide(image: MetadataImage, *wishes: TopicWish) -> Decision:
    return decide_create_topics(image, wishes, DEFAULTS, SeededRandom(1).uuid)


def commit(image: MetadataImage, decision: Decision) -> None:
    image.replay(decision.records, image.version + 1)


def refusal(image: MetadataImage, wish: TopicWish) -> tuple[ErrorCode, str | None]:
    decision = decide(image, wish)
    error = decision.refused[wish.name]
    assert decision.records == []
    return error.code, error.message


@pytest.mark.parametrize(
    ("wish", "code", "message"),
    [
        (TopicWish(""), 17, "Topic name is invalid: the empty string is not allowed"),
        (TopicWish(".."), 17, "Topic name is invalid: '..' is not allowed"),
        (TopicWish("a" * 250), 17, "is longer than the max allowed length 249"),
        (TopicWish("a/b"), 17, "contains one or more characters other than ASCII alphanumerics, '.', '_' and '-'"),
        (TopicWish("x", 0, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (TopicWish("x", -2, 1), 37, "Number of partitions was set to an invalid non-positive value."),
        (TopicWish("x", 1, 0), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (TopicWish("x", 1, -2), 38, "Replication factor must be larger than 0, or -1 to use the default value."),
        (TopicWish("x", 1, 5), 38, "only 1 broker(s) are registered"),
        (TopicWish("x", 200_000, 1), 44, "Excessively large number of partitions per request."),
        (TopicWish("x", -1, 1, {0: [1]}), 42, "replication factor was not set to -1."),
        (TopicWish("x", 1, -1, {0: [1]}), 42, "numPartitions was not set to -1."),
        (TopicWish("x", -1, -1, {1: [1]}), 39, "partitions should be a consecutive 0-based integer sequence"),
        (TopicWish("x", -1, -1, {0: [7]}), 39, "includes broker 7, but no such broker is registered."),
        (TopicWish("x", -1, -1, {0: [1, 1]}), 39, "includes the broker 1 more than once."),
        (TopicWish("x", -1, -1, {0: []}), 39, "includes an empty replica list."),
        (TopicWish("x", configs={"foo": "1"}), 40, "Unknown topic config name: foo"),
        (TopicWish("x", configs={"retention.ms": "abc"}), 40, "Not a number of type LONG"),
        (
            TopicWish("x", configs={"retention.ms": None}),
            40,
            "Null value not supported for topic configs: retention.ms",
        ),
        (
            TopicWish("x", configs={"min.compaction.lag.ms": "50", "max.compaction.lag.ms": "5"}),
            40,
            "conflict topic config setting min.compaction.lag.ms (50) > max.compaction.lag.ms (5)",
        ),
    ],
)
def test_refused_topics(wish: TopicWish, code: int, message: str) -> None:
    refused = refusal(cluster_of(1), wish)
    assert refused[0] == code
    assert message in str(refused[1])


def test_a_topic_gets_the_defaults_and_its_settings() -> None:
    image = cluster_of(1)
    commit(image, decide(image, TopicWish("x", configs={"retention.ms": "5"})))
    topic = image.topic("x")
    assert topic is not None
    assert [p.leader for p in topic.partitions] == [1, 1]
    assert [p.leader_epoch for p in topic.partitions] == [0, 0]
    assert image.configs(2, "x") == {"retention.ms": "5"}
    assert refusal(image, TopicWish("x")) == (ErrorCode.TOPIC_ALREADY_EXISTS, "Topic 'x' already exists.")


def test_one_refused_wish_does_not_stop_the_others_and_collisions_within_a_request_count() -> None:
    image = cluster_of(1)
    decision = decide(image, TopicWish("a.b"), TopicWish("a_b"), TopicWish("bad name"), TopicWish("c"))
    assert {name: error.code for name, error in decision.refused.items()} == {"a_b": 17, "bad name": 17}
    assert list(decision.granted) == ["a.b", "c"]
    commit(image, decision)
    assert list(image.topics) == ["a.b", "c"]


def test_the_bound_on_partitions_is_for_the_whole_request() -> None:
    decision = decide(cluster_of(1), TopicWish("a", 6000), TopicWish("b", 6000), TopicWish("c", 4000))
    assert {name: error.code for name, error in decision.refused.items()} == {"b": ErrorCode.POLICY_VIOLATION}
    assert list(decision.granted) == ["a", "c"]


def test_replicas_are_spread_and_distinct() -> None:
    image = cluster_of(3, 1, 2)
    commit(image, decide(image, TopicWish("x", 6, 2)))
    topic = image.topic("x")
    assert topic is not None
    leaders = [partition.leader for partition in topic.partitions]
    assert sorted(leaders) == [1, 1, 2, 2, 3, 3]
    for partition in topic.partitions:
        assert len(set(partition.replicas)) == 2
        assert partition.replicas[0] == partition.leader
        assert partition.isr == partition.replicas


def test_assignments_by_hand_are_obeyed() -> None:
    image = cluster_of(1, 2, 3)
    commit(image, decide(image, TopicWish("x", -1, -1, {1: [3, 1], 0: [2, 3]})))
    topic = image.topic("x")
    assert topic is not None
    assert [partition.replicas for partition in topic.partitions] == [(2, 3), (3, 1)]
    uneven = refusal(image, TopicWish("y", -1, -1, {0: [1], 1: [1, 2]}))
    assert uneven[0] == ErrorCode.INVALID_REPLICA_ASSIGNMENT


@pytest.mark.parametrize(
    ("count", "assignments", "code", "message"),
    [
        (2, None, 37, "Topic already has 2 partition(s)."),
        (1, None, 37, "The topic x currently has 2 partition(s); 1 would not be an increase."),
        (-1, None, 37, "The topic x currently has 2 partition(s); -1 would not be an increase."),
        (200_000, None, 44, "Excessively large number of partitions per request."),
        (4, [[1]], 39, "Attempted to add 2 additional partition(s), but only 1 assignment(s) were specified."),
        (3, [[7]], 39, "includes broker 7, but no such broker is registered."),
        (3, [[]], 39, "includes an empty replica list."),
        (3, [[1, 2]], 39, "not consistent with previous partitions, which have 1 replica(s)."),
    ],
)
def test_refused_growth(count: int, assignments: Sequence[Sequence[int]] | None, code: int, message: str) -> None:
    image = cluster_of(1, 2)
    commit(image, decide(image, TopicWish("x")))
    with pytest.raises(KafkaError) as refused:
        decide_create_partitions(image, "x", count, assignments)
    assert refused.value.code == code
    assert message in str(refused.value)


def test_growth_keeps_what_was_there() -> None:
    image = cluster_of(1, 2)
    commit(image, decide(image, TopicWish("x", 2, 2)))
    topic = image.topic("x")
    assert topic is not None
    before = list(topic.partitions)
    image.replay(decide_create_partitions(image, "x", 3, None), 3)
    image.replay(decide_create_partitions(image, "x", 4, [[2, 1]]), 4)
    assert topic.partitions[:2] == before
    assert topic.partitions[3].replicas == (2, 1)
    assert len(topic.partitions[2].replicas) == 2


@pytest.mark.parametrize("name", sorted(INTERNAL_TOPICS))
def test_internal_topics_can_be_made_on_one_broker(name: str) -> None:
    image = cluster_of(1)
    wish = auto_topic(name, BrokerSettings(), 1)
    image.replay(decide_auto_create(image, wish, DEFAULTS, SeededRandom(1).uuid), 2)
    topic = image.topic(name)
    assert topic is not None
    assert topic.is_internal
    assert len(topic.partitions) == 4
    assert image.configs(2, name)["segment.bytes"] == "104857600"


def test_the_offsets_topic_is_compacted() -> None:
    assert auto_topic("__consumer_offsets", BrokerSettings(), 3).configs == {
        "cleanup.policy": "compact",
        "compression.type": "producer",
        "segment.bytes": "104857600",
    }


@pytest.mark.parametrize(("brokers", "replicas", "min_isr"), [(1, 1, "1"), (2, 2, "1"), (3, 3, "2"), (5, 3, "2")])
def test_internal_topics_outlive_a_broker_where_there_are_others(brokers: int, replicas: int, min_isr: str) -> None:
    wish = auto_topic("__transaction_state", BrokerSettings(), brokers)
    assert wish.replication_factor == replicas
    assert (wish.configs or {})["min.insync.replicas"] == min_isr


def test_what_is_set_for_internal_topics_is_taken_as_it_is() -> None:
    settings = BrokerSettings({"transaction.state.log.replication.factor": "3", "transaction.state.log.min.isr": "3"})
    wish = auto_topic("__transaction_state", settings, 1)
    assert wish.replication_factor == 3, "it will be refused, as it should"
    assert (wish.configs or {})["min.insync.replicas"] == "3"


def test_collisions_are_found_until_the_other_topic_goes() -> None:
    image = cluster_of(1)
    commit(image, decide(image, TopicWish("a_b.c"), TopicWish("ab")))
    assert image.colliding_topic("a.b_c") == "a_b.c"
    assert image.colliding_topic("a_b.c") is None
    assert image.colliding_topic("ab") is None
    topic = image.topic("a_b.c")
    assert topic is not None
    image.replay(decide_delete_topic(image, topic), 3)
    assert image.colliding_topic("a.b_c") is None


def test_settings_are_stored_as_the_text_of_their_value() -> None:
    image = cluster_of(1)
    commit(image, decide(image, TopicWish("x", configs={"retention.ms": " 07 ", "cleanup.policy": "compact, delete"})))
    assert image.configs(2, "x") == {"retention.ms": "7", "cleanup.policy": "compact,delete"}
