"""Who leads when brokers come and go, and what a leader may change of its partition (KIP-704, 841, 903, 966)."""

from __future__ import annotations

from uuid import UUID

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import TopicPartition
from tailrace.cluster.alter_partition import AlterPartition, decide_alter_partition
from tailrace.cluster.elections import (
    ElectionRules,
    decide_broker_leaves,
    decide_broker_returns,
    decide_failover,
    decide_preferred,
    decide_records_lost,
    decide_replicas_offline,
    elect_unclean,
)
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.records import PartitionRecord, TopicRecord, decode_records, encode_records

ID = UUID(int=3)
ALL = {1: 10, 2: 20, 3: 30}
"""Active brokers and their epochs."""
TWO = ElectionRules(min_insync_replicas=2)


def image_of(partition: PartitionImage) -> MetadataImage:
    image = MetadataImage()
    image.replay([TopicRecord("t", ID), PartitionRecord(ID, 0, *partition)], 1)
    return image


def three(leader: int, *isr: int, **fields: object) -> PartitionImage:
    return PartitionImage(leader, 5, (1, 2, 3), isr, 8)._replace(**fields)


def after(before: PartitionImage, records: list[PartitionRecord]) -> PartitionImage:
    image = image_of(before)
    image.replay(records, 2)
    return image.topics["t"].partitions[0]


def without(*gone: int) -> dict[int, int]:
    return {broker: epoch for broker, epoch in ALL.items() if broker not in gone}


def test_the_next_replica_in_order_and_in_sync_leads() -> None:
    before = three(1, 1, 3)
    settled = decide_broker_leaves(image_of(before), 1, without(1), lambda _: ElectionRules())
    assert after(before, settled.records) == three(3, 3, leader_epoch=6, partition_epoch=9)
    assert settled.unclean == []


def test_a_follower_that_leaves_costs_no_leader_epoch() -> None:
    before = three(1, 1, 2, 3)
    settled = decide_broker_leaves(image_of(before), 3, without(3), lambda _: TWO)
    assert after(before, settled.records) == three(1, 1, 2, partition_epoch=9)


def test_who_leaves_while_too_few_are_in_sync_stays_eligible_and_leads_on_its_return() -> None:
    """The last replica standing keeps its data (KIP-966)."""
    before = three(1, 1, 2)
    one = after(before, decide_broker_leaves(image_of(before), 2, without(2, 3), lambda _: TWO).records)
    assert one == three(1, 1, partition_epoch=9, elr=(2,))
    none = after(one, decide_broker_leaves(image_of(one), 1, {}, lambda _: TWO).records)
    assert (none.leader, none.isr, none.elr, none.last_known_leader) == (-1, (), (1, 2), 1)
    stranger = decide_broker_returns(image_of(none), 3, without(1, 2), lambda _: TWO)
    assert stranger.records == []
    back = after(none, decide_broker_returns(image_of(none), 2, without(1, 3), lambda _: TWO).records)
    assert (back.leader, back.leader_epoch, back.isr, back.elr) == (2, 7, (2,), (1,))


def test_the_last_known_leader_may_return_uncleanly_when_nobody_else_can_have_more() -> None:
    before = three(-1, elr=(2,), last_known_leader=2)
    lost = decide_records_lost(image_of(before), 2, {}, lambda _: TWO)
    gone = after(before, lost.records)
    assert (gone.leader, gone.elr, gone.last_known_leader) == (-1, (), 2)
    settled = decide_broker_returns(image_of(gone), 2, without(1, 3), lambda _: TWO)
    assert settled.unclean == [("t", 0)]
    back = after(gone, settled.records)
    assert (back.leader, back.isr, back.is_recovering) == (2, (2,), True)


def test_an_unclean_election_needs_leave() -> None:
    before = three(1, 1)
    image = image_of(before)
    refused = decide_broker_leaves(image, 1, without(1), lambda _: ElectionRules())
    assert after(before, refused.records).leader == -1
    granted = decide_broker_leaves(image, 1, without(1), lambda _: ElectionRules(is_unclean_allowed=True))
    assert granted.unclean == [("t", 0)]
    assert after(before, granted.records) == three(2, 2, leader_epoch=6, partition_epoch=9, is_recovering=True)
    by_hand = elect_unclean(after(before, refused.records), without(1), ElectionRules())
    assert by_hand is not None and by_hand.is_unclean and by_hand.partition.leader == 2


def test_the_preferred_leader_leads_again_only_when_in_sync() -> None:
    assert decide_preferred(image_of(three(2, 2, 3)), ALL) == []
    before = three(2, 1, 2, 3)
    assert after(before, decide_preferred(image_of(before), ALL)).leader == 1
    assert decide_preferred(image_of(before), without(1)) == []


def test_a_controller_that_begins_drops_the_dead_and_says_who_has_no_leader() -> None:
    """wants C18, KAFKA-3096: nobody else would."""
    before = three(1, 1, 2)
    settled = after(before, decide_failover(image_of(before), {3: 30}, lambda _: ElectionRules()).records)
    assert (settled.leader, settled.isr, settled.elr) == (-1, (), (1, 2))


def asked(leader: int, *isr: int, **fields: object) -> AlterPartition:
    return AlterPartition(ID, 0, leader, 5, 8, {each: ALL[each] for each in isr})._replace(**fields)


def test_a_leader_changes_its_in_sync_replicas() -> None:
    before = three(1, 1, 2)
    records = decide_alter_partition(image_of(before), asked(1, 1, 2, 3), ALL, ElectionRules())
    assert after(before, records) == three(1, 1, 2, 3, partition_epoch=9)
    assert decide_alter_partition(image_of(before), asked(1, 1, 2), ALL, ElectionRules()) == []


def test_a_leader_that_has_recovered_says_so() -> None:
    before = three(2, 2, is_recovering=True)
    records = decide_alter_partition(image_of(before), asked(2, 2), ALL, ElectionRules())
    assert after(before, records) == three(2, 2, partition_epoch=9)


@pytest.mark.parametrize(
    ("proposal", "code"),
    [
        (asked(1, 1, topic_id=UUID(int=4)), ErrorCode.UNKNOWN_TOPIC_ID),
        (asked(1, 1, partition=1), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (asked(1, 1, leader_epoch=6), ErrorCode.NOT_CONTROLLER),
        (asked(1, 1, partition_epoch=9), ErrorCode.NOT_CONTROLLER),
        (asked(1, 1, leader_epoch=4), ErrorCode.FENCED_LEADER_EPOCH),
        (asked(2, 2), ErrorCode.INVALID_REQUEST),
        (asked(1, 1, partition_epoch=7), ErrorCode.INVALID_UPDATE_VERSION),
        (asked(1, 1, isr={1: 10, 4: 40}), ErrorCode.INVALID_REQUEST),
        (asked(1, 2), ErrorCode.INVALID_REQUEST),
        (asked(1, 1, 2, is_recovering=True), ErrorCode.INVALID_REQUEST),
        (asked(1, 1, is_recovering=True), ErrorCode.INVALID_REQUEST),
        (asked(1, 1, isr={1: 10, 2: 19}), ErrorCode.INELIGIBLE_REPLICA),
    ],
)
def test_what_a_leader_may_not_change(proposal: AlterPartition, code: ErrorCode) -> None:
    with pytest.raises(KafkaError) as caught:
        decide_alter_partition(image_of(three(1, 1, 2)), proposal, ALL, ElectionRules())
    assert caught.value.code is code


def test_a_fenced_replica_does_not_rejoin() -> None:
    """KAFKA-13916."""
    with pytest.raises(KafkaError) as caught:
        decide_alter_partition(image_of(three(1, 1)), asked(1, 1, 2), without(2), ElectionRules())
    assert caught.value.code is ErrorCode.INELIGIBLE_REPLICA


def test_the_records_of_a_partition_name_only_what_is_unusual() -> None:
    plain = PartitionRecord(ID, 0, *three(1, 1, 2))
    assert "elr" not in encode_records([plain]) and decode_records(encode_records([plain])) == [plain]
    unusual = PartitionRecord(ID, 0, *three(-1, elr=(2,), last_known_leader=2, is_recovering=True))
    assert decode_records(encode_records([unusual])) == [unusual]


def test_a_log_directory_that_fails_costs_its_broker_those_partitions_alone() -> None:
    before = three(1, 1, 2, 3)
    image = image_of(before)
    here, elsewhere = TopicPartition("t", 0), TopicPartition("t", 1)
    led = decide_replicas_offline(image, 1, [here, elsewhere], ALL, lambda _: TWO)
    assert after(before, led.records) == three(2, 2, 3, leader_epoch=6, partition_epoch=9)
    followed = decide_replicas_offline(image, 3, [here], ALL, lambda _: TWO)
    assert after(before, followed.records) == three(1, 1, 2, partition_epoch=9)
    assert decide_replicas_offline(image, 1, [elsewhere], ALL, lambda _: TWO).records == []
