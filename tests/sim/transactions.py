"""Transactional clients on the timeline: producers as of KIP-890, and readers of what is committed.

    begin      FindCoordinator, InitProducerId: who had the id before is fenced
    each       Produce to some partitions until it is acknowledged (v12: the leader adds the partition), then EndTxn
    fenced     by its successor: it is done; by the end of a transaction that took too long: it begins anew

Invariant: what it asks is asked again until it is answered for good, so it knows of each transaction what it was told.
They are written as coroutines: each is one line of things, done one after the other.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from random import Random
from typing import Any

from tests.sim.clients import BACKOFF_MS, RETRIABLE, Client, Consumer
from tests.sim.model import Model
from tests.sim.network import SimNetwork
from tests.sim.process import Later, Task
from tests.sim.transaction_model import Transaction, TransactionModel

from tailrace.base.errors import ErrorCode
from tailrace.base.types import TopicPartition
from tailrace.records.batch import RecordBatch, iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.control import end_txn_marker
from tailrace.records.record import Record
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.end_txn import EndTxnRequest
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.init_producer_id import InitProducerIdRequest
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

TOPIC = "x"
"""What is written in transactions."""
GROUP, TRANSACTION = 0, 1
"""What a coordinator is of."""
TRANSACTION_TIMEOUT_MS = 4000

COORDINATOR_GONE = frozenset(
    {
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
        ErrorCode.CONCURRENT_TRANSACTIONS,
        ErrorCode.REQUEST_TIMED_OUT,
    }
)
"""After these a coordinator is asked again, wherever it is by then."""
FENCED = frozenset(
    {
        ErrorCode.INVALID_PRODUCER_EPOCH,
        ErrorCode.PRODUCER_FENCED,
        ErrorCode.INVALID_TXN_STATE,
        ErrorCode.TRANSACTION_ABORTABLE,
    }
)
"""After these the transaction is over for its producer."""


class Fenced(Exception):
    """The producer's transaction is over, and perhaps the producer."""


class Careful(Client):
    """A client that waits for each answer, and looks for the coordinators of its ids."""

    topics: Sequence[str] = (TOPIC,)

    def __init__(self, name: str, network: SimNetwork, node_ids: list[int], model: Model) -> None:
        super().__init__(name, network, node_ids, model)
        self._coordinators: dict[tuple[int, str], int] = {}

    async def answer_of(self, node_id: int, key: ApiKey, request: Any) -> Any:
        """What a broker says; None where it does not."""
        later = Later()
        self.ask(node_id, key, request, later.complete)
        return await later

    async def sleep(self, delay_ms: float) -> None:
        """Do nothing for a while."""
        later = Later()
        self.process.at(delay_ms, later.complete)
        await later

    async def back_off(self) -> None:
        """Wait a moment, and ask who leads."""
        await self.sleep(self.timeline.uniform(0.5, 1.5) * BACKOFF_MS)
        later = Later()
        self.learn(later.complete)
        await later

    async def know_topics(self) -> None:
        """Ask until they are known."""
        while len(self.topic_ids) < len(self.topics):
            await self.back_off()

    async def coordinator_of(self, kind: int, key: str) -> int:
        """Where it is, as far as is known; asked for until somebody says."""
        while (kind, key) not in self._coordinators:
            request = FindCoordinatorRequest(key_type=kind, coordinator_keys=[key])
            answer = await self.answer_of(self.any_broker(), ApiKey.FIND_COORDINATOR, request)
            if answer is not None and not answer.coordinators[0].error_code:
                self._coordinators[kind, key] = answer.coordinators[0].node_id
            else:
                await self.back_off()
        return self._coordinators[kind, key]

    async def answer_of_coordinator(self, kind: int, key: str, api: ApiKey, request: Any) -> Any:
        """What the coordinator says, once it says something that does not mean to try again."""
        while True:
            answer = await self.answer_of(await self.coordinator_of(kind, key), api, request)
            if answer is not None and answer.error_code not in COORDINATOR_GONE:
                return answer
            self.forget_coordinator(kind, key)
            await self.back_off()

    def forget_coordinator(self, kind: int, key: str) -> None:
        """It is to be looked for again."""
        self._coordinators.pop((kind, key), None)


class TransactionalProducer(Careful):
    """Writes one transaction after the other; commits most of them."""

    transactional_id = ""

    def start(self, transactional_id: str, transactions: TransactionModel, count: int) -> None:
        """Begin as the producer of this id, and make `count` transactions."""
        self.transactional_id = transactional_id
        self.transactions = transactions
        self.left = count
        self.is_done = False
        self.is_replaced = False
        """Whether another producer has begun with its id, or is about to."""
        self.pause_ms = 250.0
        self._random = Random(f"{self.name} {self.timeline.random.random()}")
        self._identity = (-1, -1)
        self._sequences: dict[TopicPartition, int] = {}
        self._count = 0
        Task(self.process, self._run())

    async def _run(self) -> None:
        await self.know_topics()
        is_begun = False
        while self.left:
            try:
                if not is_begun:
                    await self.begin()
                    is_begun = True
                self.left -= 1
                await self._transaction()
            except Fenced:
                is_begun = False
                if self.is_replaced:
                    break
            await self.sleep(self._random.uniform(0.2, 1.8) * self.pause_ms)
        self.is_done = True

    async def begin(self) -> None:
        request = InitProducerIdRequest(self.transactional_id, TRANSACTION_TIMEOUT_MS)
        answer = await self._coordinator_says(ApiKey.INIT_PRODUCER_ID, request)
        self._become(answer.producer_id, answer.producer_epoch)
        self.transactions.begin_producer(self.transactional_id, self._identity)

    async def _coordinator_says(self, api: ApiKey, request: Any) -> Any:
        answer = await self.answer_of_coordinator(TRANSACTION, self.transactional_id, api, request)
        if answer.error_code in FENCED:
            raise Fenced
        if answer.error_code:
            self.model.complain(f"{self.name} was told {ErrorCode(answer.error_code).name} by {api.name}")
        return answer

    def _become(self, producer_id: int, producer_epoch: int) -> None:
        self._identity = producer_id, producer_epoch
        self._sequences.clear()

    async def _transaction(self) -> None:
        transaction = self.transactions.begin(self.transactional_id, self._identity)
        for at in self._places():
            await self.produce(transaction, at, self._values(transaction))
            await self.sleep(self._random.uniform(0, 80))
        await self.end(transaction, is_commit=self._random.random() < 0.75)

    def _places(self) -> list[TopicPartition]:
        known = sorted(each for each in self.leaders if each.topic == TOPIC)
        return self._random.choices(known, k=self._random.randint(1, 3))

    def _values(self, transaction: Transaction) -> list[bytes]:
        """One or two that nobody else writes."""
        self._count += 1
        name = f"{transaction.name}-{self.name}-{self._count}".encode()
        return [b"%s-%d" % (name, each) for each in range(self._random.randint(1, 2))]

    async def produce(self, transaction: Transaction, at: TopicPartition, values: list[bytes]) -> None:
        """Until it is acknowledged. Raises Fenced."""
        sequence = self._sequences.get(at, 0)
        producer_id, epoch = self._identity
        now_ms = int(self.timeline.now_ms)
        records = [Record(each, now_ms, None, value) for each, value in enumerate(values)]
        batch = build_batch(
            records, producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence, is_transactional=True
        )
        self.transactions.on_sent(transaction, values)
        while True:
            leader = self.leader_of(at)
            if leader is not None:
                data = TopicProduceData(
                    topic_id=self.topic_ids[at.topic], partition_data=[PartitionProduceData(at.partition, batch)]
                )
                request = ProduceRequest(self.transactional_id, -1, 1000, [data])
                answer = await self.answer_of(leader, ApiKey.PRODUCE, request)
                if answer is not None and self._is_stored(answer, at):
                    self._sequences[at] = sequence + len(values)
                    return
            await self.back_off()

    def _is_stored(self, answer: Any, at: TopicPartition) -> bool:
        code = answer.responses[0].partition_responses[0].error_code
        if code in FENCED:
            raise Fenced
        if code and code not in RETRIABLE and code not in COORDINATOR_GONE:
            self.model.complain(f"{self.name} was told {ErrorCode(code).name} by {at}")
        return code == 0

    async def end(self, transaction: Transaction, *, is_commit: bool) -> None:
        """Commit or abort. Raises Fenced."""
        if is_commit:
            self.transactions.on_commit_asked(transaction)
        request = EndTxnRequest(self.transactional_id, *self._identity, committed=is_commit)
        answer = await self._coordinator_says(ApiKey.END_TXN, request)
        if is_commit and not answer.error_code:
            self.transactions.on_commit_acknowledged(transaction)
        self._become(answer.producer_id, answer.producer_epoch)


class CommittedReader(Consumer):
    """Reads a partition with isolation level read_committed, and leaves out what was aborted as clients do."""

    topics: Sequence[str] = (TOPIC,)
    isolation_level = 1

    def read(self, at: TopicPartition, transactions: TransactionModel) -> None:
        """From its beginning."""
        self.at = at
        self.position = 0
        self._transactions = transactions
        self._stable = (-1, -1)
        self.begin()

    def take(self, data: Any, epoch: int) -> None:
        """What was fetched in an epoch."""
        self._look_at_stable(epoch, data.last_stable_offset)
        for batch, is_aborted in _with_fate(data):
            if batch.next_offset <= self.position:
                continue
            if batch.base_offset > self.position:
                self.model.complain(f"a reader of {self.at} at {self.position} was given offset {batch.base_offset}")
            if batch.next_offset > data.last_stable_offset:
                stable = f"with a last stable offset of {data.last_stable_offset}"
                self.model.complain(f"a reader of {self.at} was given offsets up to {batch.next_offset}, {stable}")
            self.position = batch.next_offset
            for record in () if is_aborted or batch.is_control else batch.records():
                assert record.value is not None
                self._transactions.on_seen(self.at, record.offset, record.value)

    def _look_at_stable(self, epoch: int, stable: int) -> None:
        before_epoch, before = self._stable
        if epoch == before_epoch and stable < before:
            self.model.complain(f"the last stable offset of {self.at} went back from {before} to {stable}")
        if epoch >= before_epoch:
            self._stable = epoch, stable


def _with_fate(data: Any) -> Iterator[tuple[RecordBatch, bool]]:
    """Each batch of an answer, and whether the answer says that it was aborted."""
    beginning = sorted((each.first_offset, each.producer_id) for each in data.aborted_transactions or ())
    aborted: set[int] = set()
    for batch in iter_whole_batches(memoryview(data.records or b"")):
        while beginning and beginning[0][0] < batch.next_offset:
            aborted.add(beginning.pop(0)[1])
        if batch.is_control:
            marker = end_txn_marker(batch)
            if marker is not None and not marker.is_commit:
                aborted.discard(batch.producer_id)
        yield batch, batch.is_transactional and batch.producer_id in aborted


def committed_by_markers(batches: Iterator[RecordBatch]) -> list[tuple[int, bytes]]:
    """(offset, value) of what the markers in a whole log say is committed, by offset."""
    waiting: dict[int, list[tuple[int, bytes]]] = {}
    committed: list[tuple[int, bytes]] = []
    for batch in batches:
        if not batch.is_control:
            records = waiting.setdefault(batch.producer_id, [])
            records += [(record.offset, record.value or b"") for record in batch.records()]
            continue
        ended, marker = waiting.pop(batch.producer_id, []), end_txn_marker(batch)
        if marker is not None and marker.is_commit:
            committed += ended
    return sorted(committed)
