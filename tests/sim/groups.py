"""Members of groups of the consumer protocol (KIP-848) on the timeline: they join, leave, die, are held up.

    heartbeat ─> let go of what is taken away, begin what is new at the group's offset ─> some records each ─> again

A `Follower` commits how far it has read (OffsetCommit); a `Copier` writes what it reads to another topic, and commits
both in one transaction (TxnOffsetCommit). Each does one thing at a time, so nothing it gave up is still on its way.
"""

from __future__ import annotations

from random import Random
from typing import Any
from uuid import UUID

from tests.sim.clients import TOPIC
from tests.sim.group_model import GroupModel
from tests.sim.process import Task
from tests.sim.transaction_model import COPY, TransactionModel
from tests.sim.transactions import (
    COORDINATOR_GONE,
    FENCED,
    GROUP,
    Careful,
    Fenced,
    TransactionalProducer,
)
from tests.sim.transactions import TOPIC as TRANSACTIONS_TOPIC

from tailrace.base.errors import ErrorCode
from tailrace.base.types import TopicPartition
from tailrace.records.batch import iter_whole_batches
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest, TopicPartitions
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestGroup, OffsetFetchRequestTopics
from tailrace.wire.messages.txn_offset_commit import (
    TxnOffsetCommitRequest,
    TxnOffsetCommitRequestPartition,
    TxnOffsetCommitRequestTopic,
)

REBALANCE_TIMEOUT_MS = 3000
JOINING, LEAVING = 0, -1
FENCED_MEMBER = frozenset(
    {
        ErrorCode.UNKNOWN_MEMBER_ID,
        ErrorCode.FENCED_MEMBER_EPOCH,
        ErrorCode.STALE_MEMBER_EPOCH,
        ErrorCode.GROUP_ID_NOT_FOUND,
    }
)
"""After these a member asks for its place anew."""


class Member(Careful):
    """One member of one group, which reads the topic of the plain producers."""

    topics = (TOPIC, TRANSACTIONS_TOPIC)
    group_id = ""

    def join(self, group_id: str, groups: GroupModel) -> None:
        """Begin."""
        self.group_id = group_id
        self.groups = groups
        self.random = Random(f"{self.name} {self.timeline.random.random()}")
        self.member_id = str(UUID(int=self.random.getrandbits(128), version=4))
        self.epoch = JOINING
        self.positions: dict[TopicPartition, int] = {}
        """What it consumes, and from where it goes on."""
        self.assigned: set[TopicPartition] = set()
        self.has_missed = False
        """Whether it may not have heard what it is to consume: it asks for all of that then, as clients do."""
        self.is_leaving = False
        """Whether it is to leave, and come back."""
        self.is_gone = False
        Task(self.process, self.run())

    async def run(self) -> None:
        """For ever."""
        await self.know_topics()
        while True:
            await self._heartbeat()
            await self.sleep(self.random.uniform(50, 400))  # it may be held up here, and does not know it
            for at in sorted(self.positions):
                records = await self._read(at) if at in self.positions else []
                if records:
                    await self.process_records(at, records)

    # being a member

    async def _heartbeat(self) -> None:
        if self.is_leaving:
            self.is_leaving = False
            await self._leave()
        owned = sorted(each.partition for each in self.positions)
        is_full = self.epoch == JOINING or self.has_missed
        topic_id = self.topic_ids.get(TOPIC)
        request = ConsumerGroupHeartbeatRequest(
            self.group_id,
            self.member_id,
            self.epoch,
            rebalance_timeout_ms=REBALANCE_TIMEOUT_MS if is_full else -1,
            subscribed_topic_names=[TOPIC] if is_full else None,
            topic_partitions=[] if not owned else [TopicPartitions(topic_id, owned)],
        )
        node_id = await self.coordinator_of(GROUP, self.group_id)
        answer = await self.answer_of(node_id, ApiKey.CONSUMER_GROUP_HEARTBEAT, request)
        self.has_missed = answer is None or answer.error_code in COORDINATOR_GONE
        if self.has_missed:
            self.forget_coordinator(GROUP, self.group_id)
            await self.back_off()
        elif answer.error_code in FENCED_MEMBER:
            self.give_up()
        elif answer.error_code:
            self.model.complain(f"{self.name} was told {ErrorCode(answer.error_code).name} by a heartbeat")
        else:
            self.epoch = answer.member_epoch
            await self._take(answer.assignment)

    async def _leave(self) -> None:
        if self.epoch != JOINING:
            request = ConsumerGroupHeartbeatRequest(self.group_id, self.member_id, LEAVING)
            await self.answer_of(
                await self.coordinator_of(GROUP, self.group_id), ApiKey.CONSUMER_GROUP_HEARTBEAT, request
            )
        self.give_up()
        await self.sleep(self.random.uniform(100, 2000))

    def give_up(self) -> None:
        """It is nobody any more, and joins again."""
        self.epoch = JOINING
        self.positions.clear()
        self.assigned.clear()

    async def _take(self, assignment: Any) -> None:
        if assignment is not None:
            self.assigned = {
                TopicPartition(TOPIC, index) for each in assignment.topic_partitions for index in each.partitions
            }
        for at in self.positions.keys() - self.assigned:
            del self.positions[at]
        for at in sorted(self.assigned - self.positions.keys()):
            offset = await self._committed(at)
            if offset is not None:
                self.positions[at] = offset

    async def _committed(self, at: TopicPartition) -> int | None:
        """The group's offset; None where it is not said now."""
        asked = OffsetFetchRequestTopics(TOPIC, self.topic_ids.get(TOPIC), [at.partition])
        group = OffsetFetchRequestGroup(self.group_id, self.member_id, self.epoch, [asked])
        place = self.group_id, at
        floor = self.groups.floors[place]
        node_id = await self.coordinator_of(GROUP, self.group_id)
        request = OffsetFetchRequest(groups=[group], require_stable=True)
        answer = await self.answer_of(node_id, ApiKey.OFFSET_FETCH, request)
        if answer is None or answer.groups[0].error_code or answer.groups[0].topics[0].partitions[0].error_code:
            self.forget_coordinator(GROUP, self.group_id)
            return None
        offset = max(answer.groups[0].topics[0].partitions[0].committed_offset, 0)
        self.groups.on_fetched(place, offset, floor)
        return offset

    # reading

    async def _read(self, at: TopicPartition) -> list[tuple[int, bytes]]:
        """A few records from where it is; none where nobody answers, or none are there."""
        leader = self.leader_of(at)
        asked = FetchPartition(at.partition, self.epoch_of(at), self.positions[at], partition_max_bytes=1000)
        topics = [FetchTopic(topic_id=self.topic_ids.get(TOPIC), partitions=[asked])]
        request = FetchRequest(max_wait_ms=10, min_bytes=1, max_bytes=2000, session_epoch=-1, topics=topics)
        answer = None if leader is None else await self.answer_of(leader, ApiKey.FETCH, request)
        if answer is None or answer.error_code or not answer.responses or answer.responses[0].partitions[0].error_code:
            await self.back_off()
            return []
        batches = iter_whole_batches(memoryview(answer.responses[0].partitions[0].records or b""))
        records = [(each.offset, each.value or b"") for batch in batches for each in batch.records()]
        return [each for each in records if each[0] >= self.positions[at]]

    async def process_records(self, at: TopicPartition, records: list[tuple[int, bytes]]) -> None:
        """Do what it does with them, and commit."""
        raise NotImplementedError

    def note_commit(self, at: TopicPartition, code: int, known: tuple[int, str]) -> bool:
        """What came of a commit; whether it was accepted."""
        if code == 0:
            self.groups.on_accepted((self.group_id, at), (self.epoch, self.member_id), known)
            return True
        if code in FENCED_MEMBER:
            del self.positions[at]
        elif code not in COORDINATOR_GONE and code not in FENCED and code != ErrorCode.UNSTABLE_OFFSET_COMMIT:
            self.model.complain(f"{self.name} was told {ErrorCode(code).name} by a commit")
        return False


class Follower(Member):
    """Reads, and says how far."""

    async def process_records(self, at: TopicPartition, records: list[tuple[int, bytes]]) -> None:
        """Commit the offset after them, once; if nobody answers it begins where the group is by then."""
        offset = records[-1][0] + 1
        partition = OffsetCommitRequestPartition(at.partition, offset)
        topic = OffsetCommitRequestTopic(TOPIC, self.topic_ids.get(TOPIC), [partition])
        request = OffsetCommitRequest(self.group_id, self.epoch, self.member_id, topics=[topic])
        known = self.groups.newest[self.group_id, at]
        node_id = await self.coordinator_of(GROUP, self.group_id)
        answer = await self.answer_of(node_id, ApiKey.OFFSET_COMMIT, request)
        code = ErrorCode.NOT_COORDINATOR if answer is None else answer.topics[0].partitions[0].error_code
        if self.note_commit(at, code, known):
            self.groups.on_committed((self.group_id, at), offset)
            self.positions[at] = offset
        else:
            self.positions.pop(at, None)
            self.forget_coordinator(GROUP, self.group_id)
            await self.back_off()


class Copier(Member, TransactionalProducer):
    """Consumes, produces and commits the offset, all in one transaction."""

    def copy(self, group_id: str, groups: GroupModel, producer: tuple[str, TransactionModel]) -> None:
        """Begin, with a transactional id and the model of transactions."""
        self.transactional_id, self.transactions = producer
        self.is_begun = False
        self._sequences = {}
        self._count = 0
        self._identity = (-1, -1)
        self.join(group_id, groups)

    async def process_records(self, at: TopicPartition, records: list[tuple[int, bytes]]) -> None:
        """Copy them; if that fails it begins where the group is by then."""
        offset = records[-1][0] + 1
        try:
            if not self.is_begun:
                await self.begin()
                self.is_begun = True
            transaction = self.transactions.begin(self.transactional_id, self._identity)
            name = transaction.name.encode()
            values = [COPY + b"%s %d %s" % (str(at).encode(), each, name) for each, _ in records]
            await self.produce(transaction, TopicPartition(TRANSACTIONS_TOPIC, at.partition), values)
            is_accepted = await self._commit_offset(at, offset)
            await self.end(transaction, is_commit=is_accepted)
        except Fenced:
            self.is_begun = is_accepted = False
        if is_accepted:
            self.groups.on_committed((self.group_id, at), offset)
            self.positions[at] = offset
        else:
            self.positions.pop(at, None)

    async def _commit_offset(self, at: TopicPartition, offset: int) -> bool:
        """Whether it is accepted. Raises Fenced."""
        partition = TxnOffsetCommitRequestPartition(at.partition, offset)
        topic = TxnOffsetCommitRequestTopic(TOPIC, self.topic_ids.get(TOPIC), [partition])
        request = TxnOffsetCommitRequest(
            self.transactional_id, self.group_id, *self._identity, self.epoch, self.member_id, topics=[topic]
        )
        while True:
            known = self.groups.newest[self.group_id, at]
            node_id = await self.coordinator_of(GROUP, self.group_id)
            answer = await self.answer_of(node_id, ApiKey.TXN_OFFSET_COMMIT, request)
            code = ErrorCode.NOT_COORDINATOR if answer is None else answer.topics[0].partitions[0].error_code
            if code in FENCED:
                raise Fenced
            if code not in COORDINATOR_GONE:
                return self.note_commit(at, code, known)
            self.forget_coordinator(GROUP, self.group_id)
            await self.back_off()
