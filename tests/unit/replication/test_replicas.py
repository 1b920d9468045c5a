"""Leader and followers of one partition, message by message (KIP-101, 279, 595, 903, 966; Kafka PartitionTest)."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.log_support import batch_of
from tests.support.replicas import LAG_MAX_MS, Node, Replicas

from tailrace.base.errors import ErrorCode, KafkaError


@pytest.fixture
def three(tmp_path: Path) -> Iterator[Replicas]:
    replicas = Replicas(tmp_path, 3, min_insync_replicas=2)
    replicas.settle()
    yield replicas
    replicas.close()


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Replicas]:
    replicas = Replicas(tmp_path, 2)
    replicas.settle()
    yield replicas
    replicas.close()


def offsets(node: Node) -> tuple[int, int]:
    return node.partition.high_watermark, node.partition.log_end_offset


def fetch(replicas: Replicas, *nodes: int) -> None:
    for each in nodes:
        replicas.nodes[each].send_fetch()
        replicas.deliver_all("fetch", "answer")


def test_committed_is_what_every_replica_in_sync_has(three: Replicas) -> None:
    leader = three.nodes[1]
    told: list[ErrorCode | None] = []
    assert leader.produce(b"a")
    leader.partition.wait_committed(1, told.append)
    assert offsets(leader) == (0, 1)
    fetch(three, 2, 3)
    assert offsets(leader) == (0, 1), "they have it, but have not said so"
    fetch(three, 2)
    assert offsets(leader) == (0, 1) and told == []
    fetch(three, 3)
    assert offsets(leader) == (1, 1) and told == [None]
    assert offsets(three.nodes[2]) == (0, 1), "a follower learns it with its next fetch"
    fetch(three, 2)
    assert offsets(three.nodes[2]) == (1, 1)


def test_who_does_not_keep_up_leaves_and_returns(three: Replicas) -> None:
    leader = three.nodes[1]
    joined_count = leader.partition.traffic.isr_expands
    leader.produce(b"a")
    three.clock.advance(LAG_MAX_MS / 2)
    for _ in range(2):
        fetch(three, 2)
    three.clock.advance(LAG_MAX_MS / 2 + 1)
    assert leader.partition.followers is not None
    assert leader.partition.followers.drop_laggards(leader.partition.log_end_offset) == [3]
    assert offsets(leader) == (0, 1), "until it is decided the old ones count"
    assert leader.partition.followers.drop_laggards(leader.partition.log_end_offset) == [], "one at a time"
    three.deliver_all("proposal", "metadata", "decision")
    assert offsets(leader) == (1, 1)
    assert three.partition.isr == (1, 2)
    for _ in range(2):
        fetch(three, 3)
    leader.produce(b"b")
    for _ in range(2):
        fetch(three, 2)
    assert offsets(leader) == (1, 2), "one about to be called in sync counts already"
    three.deliver_all("proposal", "metadata", "decision")
    assert three.partition.isr == (1, 2, 3)
    counts = leader.partition.traffic
    assert (counts.isr_shrinks, counts.isr_expands - joined_count) == (1, 1)
    assert three.nodes[2].partition.traffic.isr_shrinks == 0, "its leader counts it"


def test_nothing_is_committed_while_too_few_are_in_sync(three: Replicas) -> None:
    leader = three.nodes[1]
    leader.produce(b"a")
    three.settle()
    for broker in (2, 3):
        three.nodes[broker].crash(1, 0)
        three.fence(broker)
    three.deliver_all()
    assert (three.partition.isr, three.partition.elr) == ((1,), (3,)), "2 left while 3 was enough"
    assert not leader.produce(b"b")
    assert leader.produce(b"b", is_acks_all=False)
    assert offsets(leader) == (1, 2), "acks=1 may append, and nobody reads it"
    three.nodes[3].start()
    three.unfence(3)
    three.settle()
    assert three.partition.isr == (1, 3) and offsets(leader) == (2, 2)
    assert leader.produce(b"c")


def test_a_follower_must_reach_the_beginning_of_its_leaders_term(tmp_path: Path) -> None:
    """KAFKA-7128: the new leader's high watermark is old, and whoever reaches it may lack what was committed since."""
    four = Replicas(tmp_path, 4)
    four.settle()
    four.fence(3)
    four.deliver_all()
    four.nodes[1].produce(b"a")
    fetch(four, 2, 4)
    for broker in (2, 4):  # the answers, which would say that it is committed, are lost with the leader
        four.nodes[broker].send_fetch()
        four.deliver_all("fetch")
    assert offsets(four.nodes[1]) == (1, 1) and offsets(four.nodes[2]) == (0, 1)
    four.nodes[1].crash(1, 1)
    four.fence(1)
    four.unfence(3)
    four.deliver_all("metadata")
    four.clock.advance(LAG_MAX_MS + 1)
    assert offsets(four.nodes[2]) == (0, 1), "until 4 has said what it has"
    fetch(four, 3)
    assert [each.kind for each in four.flying] == [], "3 has reached offset 0, and is not called in sync for it"
    fetch(four, 3)
    assert [each.kind for each in four.flying] == ["proposal"]
    four.close()


def test_a_leader_that_was_replaced_commits_nothing_more(two: Replicas) -> None:
    """It does not know it yet; its follower does, and so do its writers as soon as it hears of it."""
    old, new = two.nodes[1], two.nodes[2]
    told: list[ErrorCode | None] = []
    two.fence(1)
    for message in [each for each in two.flying if each.receiver == 2]:
        two.deliver(message)
    assert new.partition.is_leader and old.partition.is_leader
    old.produce(b"zombie")
    old.partition.wait_committed(1, told.append)
    new.produce(b"a")
    assert offsets(old) == (0, 1) and offsets(new) == (1, 1)
    two.deliver_all()
    assert told == [ErrorCode.NOT_LEADER_OR_FOLLOWER]
    with pytest.raises(KafkaError) as refused:
        old.partition.append(batch_of(value=b"b"))
    assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
    two.unfence(1)
    two.settle()
    assert old.values() == new.values() == {0: b"a"}


def test_histories_part_at_an_epoch_and_are_cut_there(three: Replicas) -> None:
    """KIP-279: both logs end at the same offset, and only the epochs tell that they differ."""
    one, two = three.nodes[1], three.nodes[2]
    one.produce(b"a")
    three.settle()
    one.produce(b"lost")
    one.crash(2, 0)
    three.fence(1)
    three.deliver_all()
    assert two.partition.is_leader
    two.produce(b"kept")
    three.settle()
    one.start()
    three.unfence(1)
    three.settle()
    assert one.values() == two.values() == {0: b"a", 1: b"kept"}
    assert one.partition.log.leader_epochs.entries == two.partition.log.leader_epochs.entries
    assert three.partition.isr == (1, 2, 3)


def test_a_follower_below_its_leaders_start_begins_again(two: Replicas) -> None:
    leader, follower = two.nodes[1], two.nodes[2]
    follower.crash(0, 0)
    two.fence(2)
    two.deliver_all()
    for value in (b"a", b"b", b"c"):
        leader.produce(value)
    leader.partition.delete_records(2)
    follower.start()
    two.unfence(2)
    two.settle()
    assert follower.partition.log_start_offset == 2
    assert follower.values() == {2: b"c"}
    assert two.partition.isr == (1, 2)


def test_a_follower_adopts_its_leaders_start(two: Replicas) -> None:
    leader, follower = two.nodes[1], two.nodes[2]
    for value in (b"a", b"b", b"c"):
        leader.produce(value)
    two.settle()
    assert leader.partition.followers is not None
    assert leader.partition.followers.low_watermark_of_followers == 0
    leader.partition.delete_records(2)
    two.settle()
    assert follower.partition.log_start_offset == 2
    assert leader.partition.followers.low_watermark_of_followers == 2


def test_a_replica_of_an_earlier_life_counts_for_nothing(three: Replicas) -> None:
    """KIP-903: its fetch left before it was restarted with less."""
    leader, follower = three.nodes[1], three.nodes[2]
    leader.produce(b"a")
    three.settle()
    follower.send_fetch()
    late = three.flying[-1]
    follower.crash(0, 0)
    three.fence(2)
    follower.start()
    three.unfence(2, was_clean=False)
    three.deliver_all()
    fetch(three, 2)
    three.flying.append(late)
    three.deliver(late)
    three.deliver_all()
    assert follower.values() != {}
    assert leader.partition.followers is not None
    assert leader.partition.followers.replicas[2].log_end_offset == 0, "what it said in this life"


def test_a_stranger_and_a_fetch_of_another_epoch_are_refused(two: Replicas) -> None:
    leader = two.nodes[1].partition
    assert leader.followers is not None
    with pytest.raises(KafkaError) as refused:
        leader.followers.check_follower(9, 1)
    assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
    for epoch, code in ((-1, None), (0, None), (1, ErrorCode.UNKNOWN_LEADER_EPOCH)):
        try:
            leader.check_leader_epoch(epoch)
        except KafkaError as error:
            assert error.code is code
        else:
            assert code is None


def test_a_proposal_that_may_have_happened_is_repeated_and_one_that_cannot_is_dropped(two: Replicas) -> None:
    leader = two.nodes[1]
    asked: list[object] = []
    answers = iter([ErrorCode.REQUEST_TIMED_OUT, ErrorCode.INELIGIBLE_REPLICA, None])

    def alter(proposal: object, told: object) -> None:
        asked.append(proposal)
        told(next(answers))  # type: ignore[operator]

    leader.alter_partition = alter  # type: ignore[method-assign, assignment]
    leader.produce(b"a")
    role = leader.partition.followers
    assert role is not None
    two.clock.advance(LAG_MAX_MS + 1)
    assert role.drop_laggards(1) == [2]
    assert offsets(leader) == (0, 1)
    assert role.drop_laggards(1) == [] and asked[0] is asked[1], "the very same again"
    assert role.drop_laggards(1) == [2] and len(asked) == 3


def test_committed_records_that_an_unclean_election_costs_are_counted(two: Replicas) -> None:
    """KAFKA-10751: nobody should have to guess."""
    one, other = two.nodes[1], two.nodes[2]
    other.crash(0, 0)
    two.fence(2)
    two.deliver_all()
    for value in (b"a", b"b", b"c"):
        assert one.produce(value)
    one.crash(3, 3)
    two.fence(1)
    other.start()
    two.rules = two.rules._replace(is_unclean_allowed=True)
    two.unfence(2)
    two.deliver_all()
    assert other.partition.is_leader and two.forgiven == 1
    other.produce(b"z")
    one.start()
    two.unfence(1)
    two.settle()
    assert one.values() == other.values() == {0: b"z"}
    assert one.follower is not None and one.follower.lost_count == 3
