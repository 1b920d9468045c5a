"""Reassignments: how a move begins, ends and is taken back, every refusal. Codes are Apache Kafka 4.3.1's."""

from __future__ import annotations

from collections.abc import Sequence
from uuid import UUID

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.alter_partition import AlterPartition, decide_alter_partition
from tailrace.cluster.elections import (
    UNKNOWN_BROKER_EPOCH,
    ElectionRules,
    active_brokers,
    decide_broker_returns,
)
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.reassignments import ReassignmentWish, decide_reassignment
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
    wish = ReassignmentWish(topic, index, replicas, may_change_factor)
    return decide_reassignment(image, wish, active_brokers(image), ElectionRules())


def move(image: MetadataImage, index: int, replicas: Sequence[int] | None) -> PartitionImage:
    image.replay(decide(image, index, replicas), image.version + 1)
    return image.topics["t"].partitions[index]


def in_sync(image: MetadataImage, index: int, *isr: int) -> PartitionImage:
    """The leader says who is in sync."""
    now = image.topics["t"].partitions[index]
    asked = AlterPartition(
        TOPIC_ID, index, now.leader, now.leader_epoch, now.partition_epoch, dict.fromkeys(isr, UNKNOWN_BROKER_EPOCH)
    )
    image.replay(decide_alter_partition(image, asked, active_brokers(image), ElectionRules()), image.version + 1)
    return image.topics["t"].partitions[index]


def test_to_where_it_is_changes_nothing(image: MetadataImage) -> None:
    assert decide(image, 0, [1]) == []
    assert decide(image, 1, [1, 2], may_change_factor=False) == []


def test_another_order_changes_who_is_preferred_and_not_who_leads(image: MetadataImage) -> None:
    assert move(image, 1, [2, 1]) == PartitionImage(1, 4, (2, 1), (1, 2), 7)


def test_a_move_ends_when_those_that_stay_are_in_sync_and_then_the_leader_goes(image: MetadataImage) -> None:
    begun = move(image, 1, [3, 2])
    assert begun == PartitionImage(1, 4, (3, 2, 1), (1, 2), 7, adding_replicas=(3,), removing_replicas=(1,))
    assert in_sync(image, 1, 1, 2, 3) == PartitionImage(3, 5, (3, 2), (3, 2), 8)


def test_a_replica_that_goes_ends_the_leader_epoch_though_the_leader_stays(image: MetadataImage) -> None:
    """Who is no replica any more must not be taken for one by a leader of the same epoch."""
    assert move(image, 1, [1]) == PartitionImage(1, 5, (1,), (1,), 7)


def test_more_replicas(image: MetadataImage) -> None:
    begun = move(image, 0, [1, 2, 3])
    assert begun == PartitionImage(1, 4, (1, 2, 3), (1,), 7, adding_replicas=(2, 3))
    assert in_sync(image, 0, 1, 3).is_moving
    assert in_sync(image, 0, 1, 2, 3) == PartitionImage(1, 4, (1, 2, 3), (1, 2, 3), 9)


def test_a_cancel_leads_back(image: MetadataImage) -> None:
    move(image, 1, [3])
    assert in_sync(image, 1, 1, 2) == PartitionImage(
        1, 4, (3, 1, 2), (1, 2), 7, adding_replicas=(3,), removing_replicas=(1, 2)
    )
    assert move(image, 1, None) == PartitionImage(1, 5, (1, 2), (1, 2), 8)


def test_another_wish_takes_the_place_of_the_first_and_a_cancel_leads_back_to_the_beginning(
    image: MetadataImage,
) -> None:
    move(image, 0, [2])
    again = move(image, 0, [3])
    assert again == PartitionImage(1, 5, (3, 1), (1,), 8, adding_replicas=(3,), removing_replicas=(1,))
    assert move(image, 0, None).replicas == (1,)


def test_the_only_one_in_sync_is_not_given_up(image: MetadataImage) -> None:
    """It was being added, the old ones fell behind: it stays until the others have what it has."""
    move(image, 1, [2, 3])
    image.replay([PartitionRecord(TOPIC_ID, 1, 3, 5, (2, 3, 1), (3,), 9, (), -1, False, (3,), (1,))], 9)
    with pytest.raises(KafkaError) as caught:
        decide(image, 1, None)
    assert caught.value.code == ErrorCode.INVALID_REPLICA_ASSIGNMENT
    again = move(image, 1, [1, 2])
    assert again == PartitionImage(3, 5, (1, 2, 3), (3,), 10, removing_replicas=(3,))


def test_a_move_ends_too_when_the_one_that_stays_is_elected(image: MetadataImage) -> None:
    """Nobody else may ever change what is in sync."""
    image.replay([PartitionRecord(TOPIC_ID, 1, -1, 5, (2, 1), (), 9, (2,), 2, False, (), (1,))], 9)
    (record,) = decide_broker_returns(image, 2, active_brokers(image), lambda _: ElectionRules()).records
    assert record[2:] == PartitionImage(2, 6, (2,), (2,), 10)


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
        ("t", 1, [1, 7], ErrorCode.INVALID_REPLICA_ASSIGNMENT),
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
