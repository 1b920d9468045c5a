"""Elections that were asked for, over images of one and of several brokers. Codes are those of Apache Kafka 4.3.1."""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.asked_elections import ElectionType, decide_election
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.records import BrokerRecord, PartitionRecord, TopicRecord

PREFERRED, UNCLEAN = ElectionType.PREFERRED, ElectionType.UNCLEAN
TOPIC_ID = UUID(int=1)


def cluster(leader: int, replicas: tuple[int, ...], isr: tuple[int, ...]) -> MetadataImage:
    image = MetadataImage()
    brokers = [BrokerRecord(broker, "h", 9092, None) for broker in (1, 2, 3)]
    image.replay([*brokers, TopicRecord("t", TOPIC_ID), PartitionRecord(TOPIC_ID, 0, leader, 4, replicas, isr, 6)], 1)
    return image


def elect(image: MetadataImage, kind: ElectionType, up: Collection[int], index: int = 0) -> PartitionImage:
    """The partition after the election."""
    image.replay(decide_election(image, "t", index, kind, dict.fromkeys(up, 0)), 2)
    found = image.partition("t", 0)
    assert found is not None
    return found


def refusal(image: MetadataImage, kind: ElectionType, up: Collection[int], topic: str = "t", index: int = 0) -> int:
    with pytest.raises(KafkaError) as caught:
        decide_election(image, topic, index, kind, dict.fromkeys(up, 0))
    assert caught.value.message
    return caught.value.code


def test_what_does_not_exist() -> None:
    image = cluster(1, (1,), (1,))
    for kind in ElectionType:
        assert refusal(image, kind, {1}, "never-was") == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert refusal(image, kind, {1}, index=1) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        assert refusal(image, kind, {1}, index=-1) == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_one_broker_that_leads_needs_no_election() -> None:
    image = cluster(1, (1,), (1,))
    assert refusal(image, PREFERRED, {1}) == ErrorCode.ELECTION_NOT_NEEDED
    assert refusal(image, UNCLEAN, {1}) == ErrorCode.ELECTION_NOT_NEEDED


@pytest.mark.parametrize("leader", [1, -1])
def test_one_broker_whose_disk_failed_cannot_be_elected(leader: int) -> None:
    """Whether or not the metadata, which may lie on the same disk, knows that nobody leads."""
    image = cluster(leader, (1,), (1,))
    assert refusal(image, PREFERRED, ()) == ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
    assert refusal(image, UNCLEAN, ()) == ErrorCode.ELIGIBLE_LEADERS_NOT_AVAILABLE


def test_the_preferred_leader_leads_again() -> None:
    image = cluster(2, (1, 2), (2, 1))
    assert refusal(image, UNCLEAN, {1, 2}) == ErrorCode.ELECTION_NOT_NEEDED
    assert elect(image, PREFERRED, {1, 2}) == PartitionImage(1, 5, (1, 2), (2, 1), 7)


@pytest.mark.parametrize(("isr", "up"), [((2,), {1, 2}), ((2, 1), {2})])
def test_the_preferred_leader_has_to_be_in_sync_and_up(isr: tuple[int, ...], up: set[int]) -> None:
    assert refusal(cluster(2, (1, 2), isr), PREFERRED, up) == ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE


@pytest.mark.parametrize("leader", [-1, 2])
def test_where_nobody_leads_the_preferred_one_may(leader: int) -> None:
    assert elect(cluster(leader, (1, 2), (1, 2)), PREFERRED, {1}) == PartitionImage(1, 5, (1, 2), (1, 2), 7)


def test_an_unclean_leader_is_alone_in_sync() -> None:
    image = cluster(2, (1, 2, 3), (2,))
    assert refusal(image, PREFERRED, {1, 3}) == ErrorCode.PREFERRED_LEADER_NOT_AVAILABLE
    after = elect(image, UNCLEAN, {1, 3})
    assert (after.leader, after.leader_epoch, after.isr, after.partition_epoch) == (1, 5, (1,), 7)
    assert after.is_recovering
