"""Reassignments: what one broker can grant, and every refusal. Codes are those of Apache Kafka 4.3.1."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.reassignments import decide_reassignment
from tailrace.cluster.records import BrokerRecord, PartitionRecord, Record, TopicRecord

TOPIC_ID = UUID(int=1)


@pytest.fixture
def image() -> MetadataImage:
    """Brokers 1 to 3; "t" has partition 0 on 1 and partition 1 on 1 and 2."""
    made = MetadataImage()
    brokers = [BrokerRecord(broker, "h", 9092, None) for broker in (1, 2, 3)]
    partitions = [
        PartitionRecord(TOPIC_ID, 0, 1, 4, (1,), (1,), 6),
        PartitionRecord(TOPIC_ID, 1, 1, 4, (1, 2), (1, 2), 6),
    ]
    made.replay([*brokers, TopicRecord("t", TOPIC_ID), *partitions], 1)
    return made


def decide(
    image: MetadataImage, index: int, replicas: Sequence[int] | None, topic: str = "t", may_change_factor: bool = True
) -> list[Record]:
    return decide_reassignment(image, topic, index, replicas, may_change_factor=may_change_factor)


def test_to_where_it_is_changes_nothing(image: MetadataImage) -> None:
    assert decide(image, 0, [1]) == []
    assert decide(image, 1, [1, 2], may_change_factor=False) == []


def test_another_order_changes_who_is_preferred_and_not_who_leads(image: MetadataImage) -> None:
    image.replay(decide(image, 1, [2, 1]), 2)
    assert image.partition("t", 1) == PartitionImage(1, 4, (2, 1), (1, 2), 7)


@pytest.mark.parametrize(
    ("topic", "index", "replicas", "code"),
    [
        ("never-was", 0, [1], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("t", 2, [1], ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("t", -1, None, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("t", 0, None, ErrorCode.NO_REASSIGNMENT_IN_PROGRESS),
        ("t", 0, [], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("t", 0, [1, 1], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("t", 0, [7], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
        ("t", 0, [2], ErrorCode.UNSUPPORTED_VERSION),
        ("t", 1, [1], ErrorCode.UNSUPPORTED_VERSION),
    ],
)
def test_refusals(image: MetadataImage, topic: str, index: int, replicas: list[int] | None, code: ErrorCode) -> None:
    with pytest.raises(KafkaError) as caught:
        decide(image, index, replicas, topic)
    assert caught.value.code == code


def test_the_number_of_replicas_is_kept_where_that_is_asked_for(image: MetadataImage) -> None:
    with pytest.raises(KafkaError) as caught:
        decide(image, 1, [1], may_change_factor=False)
    assert caught.value.code == ErrorCode.INVALID_REPLICATION_FACTOR
