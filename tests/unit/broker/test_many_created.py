"""Creating many partitions takes turns, between which others are answered; what is asked for is there at once."""

from __future__ import annotations

import pytest
from broker_bench import Bench

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.limits import ROUND_TURN_MS
from tailrace.base.types import TopicId, TopicPartition
from tailrace.broker.handlers import delete_topics
from tailrace.cluster.controller import TopicWish, decide_create_topics
from tailrace.log.log import Log
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState

COUNT = 10
IN_A_TURN = 4


@pytest.fixture
def slow(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> Bench:
    """A broker on a disk that makes so many logs in a turn."""
    create = bench.logs.create

    def slow_create(topic_partition: TopicPartition, topic_id: TopicId) -> Log:
        bench.clock.advance(ROUND_TURN_MS / IN_A_TURN)
        return create(topic_partition, topic_id)

    monkeypatch.setattr(type(bench.logs), "create", lambda logs, *which: slow_create(*which))
    return bench


def create(bench: Bench, name: str) -> None:
    """What CreateTopics does, without asking for a partition."""
    metadata = bench.metadata
    wishes = [TopicWish(name=name, partition_count=COUNT, replication_factor=1)]
    metadata.commit_now(
        decide_create_topics(metadata.image, wishes, metadata.topic_defaults, metadata.new_topic_id).records
    )


def made(bench: Bench, name: str) -> list[int]:
    return [index for index in range(COUNT) if bench.partitions.get_present(name, index) is not None]


def test_as_many_as_fit_are_made_in_a_turn(slow: Bench) -> None:
    create(slow, "wide")
    assert made(slow, "wide") == list(range(IN_A_TURN))
    assert len(slow._soon) == 1
    slow._soon.popleft()()
    assert made(slow, "wide") == list(range(2 * IN_A_TURN))
    slow.run_soon()
    assert made(slow, "wide") == list(range(COUNT))
    assert not slow._soon


def test_one_that_is_asked_for_is_made_out_of_turn(slow: Bench) -> None:
    create(slow, "wide")
    assert slow.partitions.of("wide", COUNT - 1).topic_partition == TopicPartition("wide", COUNT - 1)
    with pytest.raises(KafkaError) as unknown:
        slow.partitions.of("wide", COUNT)
    assert unknown.value.code is ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    slow.run_soon()
    assert made(slow, "wide") == list(range(COUNT))


def test_what_is_deleted_meanwhile_is_not_made_and_its_name_is_anothers(slow: Bench) -> None:
    create(slow, "wide")
    old = slow.metadata.topic_id("wide")
    slow.delete_topic("wide")
    create(slow, "wide")
    create(slow, "other")
    slow.run_soon()
    assert made(slow, "wide") == made(slow, "other") == list(range(COUNT))
    ids = {slow.partitions.of("wide", index).topic_id for index in range(COUNT)}
    assert ids == {slow.metadata.topic_id("wide")} != {old}


def test_the_end_of_service_leaves_the_rest_to_the_next_start(slow: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    create(slow, "wide")
    slow.partitions.clear()
    slow.run_soon()
    assert len(slow.logs) == IN_A_TURN
    assert slow.logs.shut_down()
    monkeypatch.undo()
    again = slow.restarted()
    assert len(again.logs) == COUNT
    assert again.logs.shut_down()


def test_deleting_many_topics_is_one_change_of_the_metadata(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.topic(name)
    before = bench.metadata.image.version
    request = DeleteTopicsRequest([DeleteTopicState(name) for name in ("a", "b", "missing")])
    answer = delete_topics.handle(bench.services, bench.context(ApiKey.DELETE_TOPICS, 6), request)
    codes = {each.name: each.error_code for each in answer.responses}
    assert codes == {"a": 0, "b": 0, "missing": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION}
    assert bench.metadata.image.version == before + 1
    assert set(bench.metadata.image.topics) == {"c"}
