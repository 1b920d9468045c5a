"""Brokers of a cluster come, are fenced, return and shut down; one controller at a time settles what is left behind."""

from __future__ import annotations

from uuid import UUID

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.controller import TopicDefaults, TopicWish, decide_create_topics
from tailrace.cluster.elections import ElectionRules, active_brokers, decide_records_lost
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.records import BrokerRecord, PartitionRecord, Record, TopicRecord
from tailrace.cluster.registration import (
    Life,
    broker_lease,
    decide_claim,
    decide_fence,
    decide_registration,
    decide_shut_down,
    decide_unfence,
    live_lives,
    without_lease,
)

TOPIC = UUID(int=1)


def rules_of(topic: str) -> ElectionRules:
    return ElectionRules()


def broker(broker_id: int, life: str = "a", port: int = 9092) -> BrokerRecord:
    return BrokerRecord(broker_id, "h", port, None, (), f"{broker_id}{life}")


class Cluster:
    """An image, and what leases are held."""

    def __init__(self, *broker_ids: int) -> None:
        self.image = MetadataImage()
        self.leases: dict[str, str] = {}
        for broker_id in broker_ids:
            self.start(broker(broker_id))

    def commit(self, records: list[Record]) -> None:
        if records:
            self.image.replay(records, self.image.version + 1)

    def start(self, record: BrokerRecord) -> None:
        self.leases[broker_lease(record.broker_id)] = record.incarnation_id
        self.commit(decide_registration(self.image, record, rules_of))
        self.commit(decide_unfence(self.image, record, rules_of))

    def lose(self, broker_id: int) -> None:
        del self.leases[broker_lease(broker_id)]

    def claim(self, broker_id: int) -> None:
        self.commit(decide_claim(self.image, self.life(broker_id)))

    def fence(self, controller: int) -> list[int]:
        dead = without_lease(live_lives(self.image), self.leases)
        fenced = decide_fence(self.image, self.life(controller), dead, rules_of)
        self.commit(fenced.records)
        return fenced.brokers

    def life(self, broker_id: int) -> Life:
        return Life(broker_id, self.image.brokers[broker_id].incarnation_id)

    def create(self, *replicas: int) -> None:
        self.commit([TopicRecord("t", TOPIC), PartitionRecord(TOPIC, 0, replicas[0], 0, replicas, replicas, 0)])

    @property
    def partition(self) -> PartitionImage:
        found = self.image.partition("t", 0)
        assert found is not None
        return found


def test_a_broker_begins_fenced_and_its_epoch_is_the_version_of_its_record() -> None:
    cluster = Cluster()
    cluster.commit(decide_registration(cluster.image, broker(1), rules_of))
    assert cluster.image.is_fenced(1)
    assert active_brokers(cluster.image) == {}
    assert cluster.image.live_brokers == []
    cluster.commit(decide_unfence(cluster.image, broker(1, port=9999), rules_of))
    assert active_brokers(cluster.image) == {1: 1}
    assert cluster.image.brokers[1].port == 9999, "the port it listens on is known when it serves"
    assert decide_unfence(cluster.image, broker(1, port=9999), rules_of) == []
    assert decide_registration(cluster.image, broker(1, port=9999), rules_of) == []


def test_who_comes_back_first_stays_eligible_beside_those_who_died_and_were_not_fenced() -> None:
    """All were away, so nobody fenced them: the one that was stopped cleanly must not leave the dead alone in sync."""
    cluster = Cluster(1, 2, 3)
    cluster.create(1, 2, 3)
    gone = frozenset({1, 3})
    cluster.commit(decide_registration(cluster.image, broker(2, "b"), rules_of, gone))
    assert cluster.partition.isr == () and sorted(cluster.partition.elr) == [1, 2, 3]
    for dead in gone:
        cluster.commit(decide_records_lost(cluster.image, dead, {}, rules_of).records)
    cluster.commit(decide_unfence(cluster.image, broker(2, "b"), rules_of))
    assert (cluster.partition.leader, cluster.partition.isr) == (2, (2,))


def test_another_life_has_another_epoch_and_the_one_before_may_change_nothing() -> None:
    cluster = Cluster(1)
    cluster.start(broker(1, "b"))
    assert active_brokers(cluster.image) == {1: 3}
    for decide in (
        lambda: decide_unfence(cluster.image, broker(1), rules_of),
        lambda: decide_shut_down(cluster.image, Life(1, "1a"), rules_of),
    ):
        with pytest.raises(KafkaError) as refused:
            decide()
        assert refused.value.code is ErrorCode.DUPLICATE_BROKER_REGISTRATION


def test_a_broker_that_is_alone_has_no_state_and_is_active() -> None:
    image = MetadataImage()
    image.replay([BrokerRecord(1, "", 0, None)], 1)
    assert (image.broker_states, image.live_brokers) == ({}, [1])
    assert active_brokers(image) == {1: -1}


def test_who_lost_its_lease_is_fenced_and_others_lead() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.create(1, 2, 3)
    cluster.claim(2)
    assert cluster.fence(2) == []
    cluster.lose(1)
    assert cluster.fence(2) == [1]
    assert (cluster.partition.leader, cluster.partition.leader_epoch, cluster.partition.isr) == (2, 1, (2, 3))
    assert cluster.image.live_brokers == [2, 3]
    assert cluster.fence(2) == [], "settled once"


def test_two_that_go_together_are_settled_together() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.create(1, 2, 3)
    cluster.claim(3)
    cluster.lose(1)
    cluster.lose(2)
    assert cluster.fence(3) == [1, 2]
    assert (cluster.partition.leader, cluster.partition.isr) == (3, (3,))


def test_the_last_replica_comes_back_as_the_leader_of_a_new_epoch() -> None:
    cluster = Cluster(1, 2)
    cluster.create(1)
    cluster.claim(2)
    cluster.lose(1)
    cluster.fence(2)
    assert cluster.partition.leader == -1
    cluster.leases[broker_lease(1)] = "1a"
    cluster.commit(decide_unfence(cluster.image, broker(1), rules_of))
    assert (cluster.partition.leader, cluster.partition.isr, cluster.partition.is_recovering) == (1, (1,), False)
    assert cluster.partition.leader_epoch == 2


def test_a_restart_that_nobody_noticed_hands_over_what_it_led() -> None:
    cluster = Cluster(1, 2)
    cluster.create(1, 2)
    cluster.commit(decide_registration(cluster.image, broker(1, "b"), rules_of))
    assert (cluster.partition.leader, cluster.partition.isr) == (2, (2,))


def test_one_that_shuts_down_hands_over_and_is_not_active() -> None:
    cluster = Cluster(1, 2)
    cluster.create(1, 2)
    cluster.commit(decide_shut_down(cluster.image, cluster.life(1), rules_of))
    assert (cluster.partition.leader, cluster.partition.isr) == (2, (2,))
    assert active_brokers(cluster.image).keys() == {2}
    assert cluster.image.live_brokers == [1, 2], "it still answers"
    cluster.start(broker(1, "b"))
    assert active_brokers(cluster.image).keys() == {1, 2}


def test_one_controller_at_a_time_and_each_has_a_new_epoch() -> None:
    cluster = Cluster(1, 2)
    cluster.claim(1)
    assert cluster.image.controller.epoch == 1
    assert decide_claim(cluster.image, cluster.life(1)) == []
    cluster.claim(2)
    assert (cluster.image.controller.broker_id, cluster.image.controller.epoch) == (2, 2)
    with pytest.raises(KafkaError) as refused:
        cluster.fence(1)
    assert refused.value.code is ErrorCode.NOT_CONTROLLER
    cluster.start(broker(2, "b"))
    with pytest.raises(KafkaError):
        cluster.fence(2)
    cluster.claim(2)
    assert cluster.image.controller.epoch == 3


def test_new_partitions_are_placed_on_live_brokers() -> None:
    cluster = Cluster(1, 2, 3)
    cluster.claim(1)
    cluster.lose(3)
    cluster.fence(1)
    wishes = [TopicWish("a", 6, 2), TopicWish("b", 1, 3), TopicWish("c", 1, 4), TopicWish("d", -1, -1, {0: [3, 2]})]
    wishes.append(TopicWish("e", -1, -1, {0: [3]}))
    decision = decide_create_topics(cluster.image, wishes, TopicDefaults(1, 1), lambda: UUID(int=9))
    placed = [record for record in decision.granted["a"] if isinstance(record, PartitionRecord)]
    assert {replica for record in placed for replica in record.replicas} == {1, 2}
    (three,) = (record for record in decision.granted["b"] if isinstance(record, PartitionRecord))
    assert (set(three.replicas), set(three.isr), three.leader in (1, 2)) == ({1, 2, 3}, {1, 2}, True)
    assert decision.refused["c"].code is ErrorCode.INVALID_REPLICATION_FACTOR
    (by_hand,) = (record for record in decision.granted["d"] if isinstance(record, PartitionRecord))
    assert (by_hand.leader, by_hand.isr) == (2, (2,)), "who is not there is not in sync"
    assert decision.refused["e"].code is ErrorCode.INVALID_REPLICA_ASSIGNMENT


def test_the_shortest_records_of_a_cluster_replay_to_the_same() -> None:
    cluster = Cluster(1, 2)
    cluster.create(1, 2)
    cluster.claim(1)
    cluster.lose(2)
    cluster.fence(1)
    again = MetadataImage()
    again.replay(cluster.image.records(), cluster.image.version)
    assert again.records() == cluster.image.records()
    assert again.broker_states == cluster.image.broker_states
