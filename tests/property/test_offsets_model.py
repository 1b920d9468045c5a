"""Committed offsets at random against a dumb twin: what is fetched is what was last committed, and never older.

Plain commits, commits in transactions that commit or abort, deletions of offsets, groups and topics, topics made anew
under an old name, expiry, appends that the log refuses, and kills, in any order. The twin is two dicts; offsets only
rise, so that one which went back would show. The coordinator and the handlers are the real ones, over a log in memory.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from tests.scenario.group_bench import FakeGroupLog, GroupBench

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending
from tailrace.coordinator.groups.settings import GroupSettings
from tailrace.coordinator.ports import (
    CoordinatorRecord,
    InTransaction,
    LogEntry,
    TransactionalRecord,
    TransactionEnd,
)
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.offset_delete import (
    OffsetDeleteRequest,
    OffsetDeleteRequestPartition,
    OffsetDeleteRequestTopic,
)
from tailrace.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

GROUPS = ("a", "b")
TOPICS = ("t", "u")
PARTITIONS = 2
PRODUCERS = (7, 8)
RETENTION_MS = 1_000_000
NOTHING = -1

Place = tuple[str, str, int]
"""Group, topic, partition."""

places = st.tuples(st.sampled_from(GROUPS), st.sampled_from(TOPICS), st.integers(0, PARTITIONS - 1))
producers = st.sampled_from(PRODUCERS)


class TransactionalGroupLog(FakeGroupLog):
    """The log of a partition with records of transactions and markers among the others."""

    def __init__(self) -> None:
        super().__init__()
        self.entries: list[LogEntry] = []

    def append(
        self, partition: int, records: list[CoordinatorRecord], transaction: InTransaction | None = None
    ) -> Pending[ErrorCode | None]:
        outcome: Pending[ErrorCode | None] = Pending()
        if self.refusals:
            outcome.complete(self.refusals.pop(0))
            return outcome
        if transaction is None:
            self.entries += records
        else:
            self.entries += [TransactionalRecord(transaction.producer_id, record) for record in records]
        outcome.complete(None)
        return outcome

    def records(self, partition: int) -> Iterator[Any]:
        return iter(list(self.entries))


class Committed:
    """What the twin knows of one committed offset."""

    def __init__(self, offset: int, at_ms: int, topic_id: UUID) -> None:
        self.offset = offset
        self.at_ms = at_ms
        self.topic_id = topic_id


class CommittedOffsets(RuleBasedStateMachine):
    """The coordinator and its twin."""

    @initialize()
    def begin(self) -> None:
        self.bench = GroupBench(GroupSettings(offsets_topic_num_partitions=1, offsets_retention_ms=RETENTION_MS))
        self.log = self.bench.log = TransactionalGroupLog()
        self.bench.restart()
        self.lives = 0
        for topic in TOPICS:
            self.make(topic)
        self.committed: dict[Place, Committed] = {}
        self.pending: dict[int, dict[Place, Committed]] = {}
        self.last_offset = 0

    def make(self, topic: str) -> None:
        self.lives += 1
        self.bench.image.add(topic, PARTITIONS)
        self.bench.image.topics[topic].topic_id = UUID(int=self.lives)

    def ask(self, key: ApiKey, version: int, request: Any) -> Any:
        answers: list[Any] = []
        self.bench.send(key, version, "c", request, answers.append)
        [answer] = answers
        return answer

    def next(self, topic: str) -> Committed:
        self.last_offset += 1
        topic_id = self.bench.image.topics[topic].topic_id
        return Committed(self.last_offset, self.bench.clock.wall_ms(), topic_id)

    def commit(self, place: Place, version: int) -> int:
        """Commit the next offset; the error."""
        group, topic, index = place
        by_id = version >= 10
        asked = OffsetCommitRequestTopic(
            "" if by_id else topic,
            self.bench.image.topics[topic].topic_id if by_id else UUID(int=0),
            [OffsetCommitRequestPartition(index, self.next(topic).offset)],
        )
        answer = self.ask(ApiKey.OFFSET_COMMIT, version, OffsetCommitRequest(group, topics=[asked]))
        return int(answer.topics[0].partitions[0].error_code)

    @rule(place=places, version=st.sampled_from((8, 9, 10)))
    def commits(self, place: Place, version: int) -> None:
        assert self.commit(place, version) == ErrorCode.NONE
        self.last_offset -= 1
        self.committed[place] = self.next(place[1])

    @rule(place=places, code=st.sampled_from((ErrorCode.NOT_ENOUGH_REPLICAS, ErrorCode.KAFKA_STORAGE_ERROR)))
    def commits_in_vain(self, place: Place, code: ErrorCode) -> None:
        self.log.refusals.append(code)
        assert self.commit(place, 9) != ErrorCode.NONE

    @rule(place=places, producer_id=producers)
    def commits_in_a_transaction(self, place: Place, producer_id: int) -> None:
        group, topic, index = place
        new = self.next(topic)
        asked = TxnOffsetCommitRequestTopic(
            topic, new.topic_id, [TxnOffsetCommitRequestPartition(index, new.offset, -1, "")]
        )
        request = TxnOffsetCommitRequest("x", group, producer_id, 0, -1, "", None, [asked])
        answer = self.bench.groups.commit_transactional_offsets(request, 5, 0).value
        assert answer.topics[0].partitions[0].error_code == ErrorCode.NONE
        self.pending.setdefault(producer_id, {})[place] = new

    @rule(producer_id=producers, is_commit=st.booleans())
    def ends_a_transaction(self, producer_id: int, is_commit: bool) -> None:
        self.log.entries.append(TransactionEnd(producer_id, is_commit))
        self.bench.groups.end_transaction(0, producer_id, is_commit)
        for place, new in self.pending.pop(producer_id, {}).items():
            known = self.committed.get(place)
            if is_commit and (known is None or known.offset < new.offset):
                self.committed[place] = new

    def forget(self, gone: list[Place]) -> None:
        for place in gone:
            self.committed.pop(place, None)
            for waiting in self.pending.values():
                waiting.pop(place, None)

    @rule(place=places)
    def an_offset_is_deleted(self, place: Place) -> None:
        group, topic, index = place
        asked = OffsetDeleteRequestTopic(topic, [OffsetDeleteRequestPartition(index)])
        self.ask(ApiKey.OFFSET_DELETE, 0, OffsetDeleteRequest(group, [asked]))
        self.forget([place])

    @rule(group=st.sampled_from(GROUPS))
    def a_group_is_deleted(self, group: str) -> None:
        self.bench.groups.delete_group(group)
        self.forget([(group, topic, index) for topic in TOPICS for index in range(PARTITIONS)])

    @rule(topic=st.sampled_from(TOPICS))
    def a_topic_is_made_anew(self, topic: str) -> None:
        del self.bench.image.topics[topic]
        self.bench.groups.on_topics_deleted([topic])
        self.make(topic)
        self.forget([(group, topic, index) for group in GROUPS for index in range(PARTITIONS)])

    @rule(topic=st.sampled_from(TOPICS))
    def a_topic_is_made_anew_and_a_kill_takes_the_tombstones(self, topic: str) -> None:
        del self.bench.image.topics[topic]
        self.make(topic)
        self.bench.restart()

    @rule(share=st.sampled_from((0.3, 0.6, 1.0)))
    def time_passes(self, share: float) -> None:
        self.bench.clock.advance(RETENTION_MS * share)
        self.bench.groups.expire_offsets()
        now_ms = self.bench.clock.wall_ms()
        for place, known in list(self.committed.items()):
            is_awaited = any(place in waiting for waiting in self.pending.values())
            if now_ms - known.at_ms >= RETENTION_MS and not is_awaited:
                del self.committed[place]

    @precondition(lambda self: self.log.entries)
    @rule()
    def is_killed(self) -> None:
        self.bench.restart()

    @invariant()
    def what_is_fetched_is_what_was_committed(self) -> None:
        for group in GROUPS:
            topics = [OffsetFetchRequestTopics(topic, partition_indexes=list(range(PARTITIONS))) for topic in TOPICS]
            for is_stable in (False, True):
                request = OffsetFetchRequest(
                    groups=[OffsetFetchRequestGroup(group, topics=topics)], require_stable=is_stable
                )
                answer = self.ask(ApiKey.OFFSET_FETCH, 9, request).groups[0]
                for topic in answer.topics:
                    for part in topic.partitions:
                        place = (group, topic.name, part.partition_index)
                        assert (part.committed_offset, part.error_code) == self.expected(place, is_stable), place

    def expected(self, place: Place, is_stable: bool) -> tuple[int, int]:
        if is_stable and any(place in waiting for waiting in self.pending.values()):
            return NOTHING, ErrorCode.UNSTABLE_OFFSET_COMMIT
        known = self.committed.get(place)
        if known is None or known.topic_id != self.bench.image.topics[place[1]].topic_id:
            return NOTHING, ErrorCode.NONE
        return known.offset, ErrorCode.NONE


TestCommittedOffsets = CommittedOffsets.TestCase
TestCommittedOffsets.settings = settings(
    max_examples=60, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
