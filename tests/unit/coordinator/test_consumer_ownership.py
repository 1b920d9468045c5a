"""Members of consumer groups that read what is another's: what they are told, and what they may commit."""

from __future__ import annotations

from typing import Any
from uuid import UUID

import pytest
from tests.scenario.group_bench import FakeGroupLog, GroupBench

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import CoordinatorRecord, InTransaction
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

OLD, NEW = 5, 6
TOPIC_ID = UUID(int=1)


class TransactionalLog(FakeGroupLog):
    """Takes records of transactions as any others."""

    def append(
        self, partition: int, records: list[CoordinatorRecord], transaction: InTransaction | None = None
    ) -> Pending[ErrorCode | None]:
        return super().append(partition, records)


class Group:
    """One consumer group of a topic of two partitions."""

    def __init__(self) -> None:
        self.bench = GroupBench(GroupSettings(offsets_topic_num_partitions=1))
        self.bench.log = TransactionalLog()
        self.bench.restart()
        self.bench.image.add("t", 2)
        self.bench.image.topics["t"].topic_id = TOPIC_ID

    def beat(self, member_id: str, epoch: int, owned: list[int] | None, *, is_full: bool = False) -> Any:
        """A heartbeat; a joining one says everything."""
        says_all = is_full or epoch == 0
        request = ConsumerGroupHeartbeatRequest(
            "g",
            member_id,
            epoch,
            rebalance_timeout_ms=30_000 if says_all else -1,
            subscribed_topic_names=["t"] if says_all else None,
            topic_partitions=None if owned is None else [TopicPartitions(TOPIC_ID, owned)] if owned else [],
        )
        answers: list[Any] = []
        self.bench.send(ApiKey.CONSUMER_GROUP_HEARTBEAT, 1, member_id, request, answers.append)
        (answer,) = answers
        assert answer.error_code == ErrorCode.NONE, answer
        return answer

    def commit(self, member_id: str, epoch: int, index: int, version: int = OLD) -> int:
        """A commit of one partition in a transaction; the error."""
        asked = TxnOffsetCommitRequestTopic("t", TOPIC_ID, [TxnOffsetCommitRequestPartition(index, 7, -1, "")])
        request = TxnOffsetCommitRequest("x", "g", 1, 0, epoch, member_id, None, [asked])
        answer = self.bench.groups.commit_transactional_offsets(request, version, 0).value
        return int(answer.topics[0].partitions[0].error_code)


def given(answer: Any) -> list[int]:
    return [index for topic in answer.assignment.topic_partitions for index in topic.partitions]


def test_a_partition_that_was_given_away_while_its_reader_took_it_up() -> None:
    """What librdkafka 2.16 does: told [0, 1], it says everything again, owning nothing yet, and then reads both."""
    group = Group()
    first = group.beat("A", 0, [])
    assert given(first) == [0, 1]
    second = group.beat("B", 0, [])
    told = group.beat("A", first.member_epoch, [], is_full=True)
    kept = given(told)
    (lost,) = {0, 1} - set(kept)
    assert given(group.beat("B", second.member_epoch, None)) == [lost]
    assert group.commit("A", told.member_epoch, kept[0]) == ErrorCode.NONE
    assert group.commit("A", told.member_epoch, lost) == ErrorCode.ILLEGAL_GENERATION
    assert group.commit("A", told.member_epoch, lost, NEW) == ErrorCode.STALE_MEMBER_EPOCH
    assert group.commit("B", second.member_epoch, lost) == ErrorCode.NONE


def test_a_member_that_claims_too_much_is_told_what_is_its_own() -> None:
    """The same race for a consumer without transactions: without an answer it would read on for good."""
    group = Group()
    first = group.beat("A", 0, [])
    group.beat("B", 0, [])
    told = group.beat("A", first.member_epoch, [], is_full=True)
    kept = given(told)
    assert given(group.beat("A", told.member_epoch, [0, 1])) == kept
    assert group.beat("A", told.member_epoch, kept).assignment is None
    assert group.beat("A", told.member_epoch, None).assignment is None


def test_what_is_to_be_given_up_may_be_committed_until_it_is() -> None:
    group = Group()
    first = group.beat("A", 0, [])
    group.beat("B", 0, [])
    kept = given(group.beat("A", first.member_epoch, [0, 1]))
    (lost,) = {0, 1} - set(kept)
    assert group.commit("A", first.member_epoch, lost) == ErrorCode.NONE
    later = group.beat("A", first.member_epoch, kept)
    assert later.member_epoch > first.member_epoch
    assert group.commit("A", first.member_epoch, lost) == ErrorCode.ILLEGAL_GENERATION


@pytest.mark.parametrize(
    ("version", "stale", "unknown"),
    [
        (OLD, ErrorCode.ILLEGAL_GENERATION, ErrorCode.ILLEGAL_GENERATION),
        (NEW, ErrorCode.STALE_MEMBER_EPOCH, ErrorCode.GROUP_ID_NOT_FOUND),
    ],
)
def test_words_of_each_version(version: int, stale: ErrorCode, unknown: ErrorCode) -> None:
    group = Group()
    assert group.commit("A", 3, 0, version) == unknown
    epoch = group.beat("A", 0, []).member_epoch
    assert group.commit("A", epoch + 1, 0, version) == stale
    assert group.commit("A", epoch - 1, 0, version) == stale
    assert group.commit("nobody", epoch, 0, version) == ErrorCode.UNKNOWN_MEMBER_ID
    assert group.commit("A", epoch, 0, version) == ErrorCode.NONE
