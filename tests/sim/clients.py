"""Clients on the timeline: producers that retry as librdkafka does, consumers that read what is committed.

Each asks any broker who leads (Metadata), over the product's own client, and keeps the newest epoch it has heard of. A
client does one thing at a time, so the order of what it sends is known.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from tests.sim.broker import PORT
from tests.sim.model import Model
from tests.sim.network import SimEngine, SimNetwork
from tests.sim.process import Process, ProcessClock

from tailrace.base.errors import ErrorCode
from tailrace.base.types import TopicPartition
from tailrace.client.broker_client import BrokerClient, ClientOptions, Refusal
from tailrace.net.address import Address
from tailrace.records.batch import iter_whole_batches
from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from tailrace.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tailrace.wire.messages.elect_leaders import ElectLeadersRequest
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData

TOPIC = "t"
BACKOFF_MS = 150.0
TIMEOUT_MS = 1500.0

RETRIABLE = frozenset(
    {
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        ErrorCode.UNKNOWN_TOPIC_ID,
        ErrorCode.REQUEST_TIMED_OUT,
        ErrorCode.NOT_ENOUGH_REPLICAS,
        ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        ErrorCode.KAFKA_STORAGE_ERROR,
        ErrorCode.FENCED_LEADER_EPOCH,
        ErrorCode.UNKNOWN_LEADER_EPOCH,
        ErrorCode.LEADER_NOT_AVAILABLE,
        ErrorCode.NETWORK_EXCEPTION,
    }
)


class Client:
    """A process with a connection to each broker."""

    topics: Sequence[str] = (TOPIC,)
    """What it asks about."""

    def __init__(self, name: str, network: SimNetwork, node_ids: list[int], model: Model) -> None:
        self.name = name
        self.model = model
        self.timeline = network.timeline
        self.process = Process(network.timeline, name, ProcessClock(network.timeline))
        self.topic_ids: dict[str, Any] = {}
        self.leaders: dict[TopicPartition, tuple[int, int]] = {}
        """Partition -> (leader, leader epoch), the newest heard of."""
        engine: Any = SimEngine(self.process, network)
        options = ClientOptions(name, request_timeout_ms=TIMEOUT_MS, connect_timeout_ms=TIMEOUT_MS, local_host=name)
        self._brokers = {each: BrokerClient(engine, _address_of(each), options) for each in node_ids}

    def ask(self, node_id: int, key: ApiKey, request: Any, told: Callable[[Any], object]) -> None:
        """Ask one broker; None where it does not answer."""
        answered = lambda answer: told(None if isinstance(answer, Refusal) else answer)  # noqa: E731
        self._brokers[node_id].send(key, request, answered)

    def any_broker(self) -> int:
        """One of them."""
        return self.timeline.random.choice(list(self._brokers))

    def learn(self, then: Callable[[], object]) -> None:
        """Ask who leads, somebody; then go on, whatever came of it."""

        def told(answer: Any) -> None:
            for topic in [] if answer is None else answer.topics:
                if topic.error_code == 0:
                    self.topic_ids[topic.name] = topic.topic_id
                    for each in topic.partitions:
                        at = TopicPartition(topic.name, each.partition_index)
                        self._heard(at, each.leader_id, each.leader_epoch)
            then()

        asked = [MetadataRequestTopic(name=each) for each in self.topics]
        request = MetadataRequest(asked, allow_auto_topic_creation=False)
        self.ask(self.any_broker(), ApiKey.METADATA, request, told)

    def _heard(self, at: TopicPartition, leader: int, epoch: int) -> None:
        if epoch >= self.epoch_of(at):
            self.leaders[at] = leader, epoch

    def leader_of(self, at: TopicPartition) -> int | None:
        """Who leads, as far as is known."""
        leader = self.leaders.get(at, (-1, -1))[0]
        return leader if leader in self._brokers else None

    def epoch_of(self, at: TopicPartition) -> int:
        """In which leader epoch."""
        return self.leaders.get(at, (-1, -1))[1]

    def again(self, action: Callable[[], object]) -> None:
        """After a while, knowing better who leads."""
        self.process.at(self.timeline.uniform(0.5, 1.5) * BACKOFF_MS, lambda: self.learn(action))


def _address_of(node_id: int) -> Callable[[], Address]:
    return lambda: Address(f"b{node_id}", PORT)


class Admin(Client):
    """Makes the topics, and asks for other replicas and leaders: once, whatever is answered."""

    def create(self, partitions: int, replicas: int, configs: Mapping[str, str], then: Callable[[], object]) -> None:
        """Until they are there."""

        def told(answer: Any) -> None:
            codes = {-1} if answer is None else {each.error_code for each in answer.topics}
            if codes <= {0, ErrorCode.TOPIC_ALREADY_EXISTS}:
                then()
            else:
                self.again(lambda: self.create(partitions, replicas, configs, then))

        named = [CreatableTopicConfig(*each) for each in configs.items()]
        topics = [CreatableTopic(each, partitions, replicas, configs=named) for each in self.topics]
        self.ask(self.any_broker(), ApiKey.CREATE_TOPICS, CreateTopicsRequest(topics, timeout_ms=1000), told)

    def move(self, at: TopicPartition, replicas: list[int]) -> None:
        """Have a partition on these brokers."""
        moved = ReassignableTopic(at.topic, [ReassignablePartition(at.partition, replicas)])
        request = AlterPartitionReassignmentsRequest(timeout_ms=1000, topics=[moved])
        self._ask_once(ApiKey.ALTER_PARTITION_REASSIGNMENTS, request)

    def prefer(self) -> None:
        """Have every partition led by its first replica."""
        self._ask_once(ApiKey.ELECT_LEADERS, ElectLeadersRequest(topic_partitions=None, timeout_ms=1000))

    def _ask_once(self, key: ApiKey, request: Any) -> None:
        self.process.run(lambda: self.ask(self.any_broker(), key, request, lambda answer: None))


class Producer(Client):
    """Sends numbered records to one partition, one batch after the other, each until it is acknowledged.

    With a producer id it is idempotent: a batch that is sent again has its sequence numbers. Without one, what is sent
    again may be there twice.
    """

    def __init__(self, name: str, network: SimNetwork, node_ids: list[int], model: Model) -> None:
        super().__init__(name, network, node_ids, model)
        self.at = TopicPartition(TOPIC, 0)
        self.acks = -1
        self.producer_id = -1
        self.is_done = False
        self.pause_ms = 100.0
        self._left = 0
        self._sequence = 0
        self._values: list[bytes] = []

    def start(self, index: int, acks: int, producer_id: int, count: int) -> None:
        """Send `count` batches to partition `index`."""
        self.at, self.acks, self.producer_id, self._left = TopicPartition(TOPIC, index), acks, producer_id, count
        self.learn(self._next)

    def _next(self) -> None:
        if not self._left:
            self.is_done = True
            return
        self._left -= 1
        count = self.timeline.random.randint(1, 3)
        self._values = [b"%s-%06d" % (self.name.encode(), self._sequence + each) for each in range(count)]
        self._send()

    def _send(self) -> None:
        leader = self.leader_of(self.at)
        if leader is None:
            self.again(self._send)
            return
        now_ms = int(self.timeline.now_ms)
        records = [Record(each, now_ms, None, value) for each, value in enumerate(self._values)]
        if self.producer_id >= 0:
            batch = build_batch(records, producer_id=self.producer_id, producer_epoch=0, base_sequence=self._sequence)
        else:
            batch = build_batch(records)
        partitions = [PartitionProduceData(self.at.partition, batch)]
        data = TopicProduceData(topic_id=self.topic_ids[TOPIC], partition_data=partitions)
        self.ask(leader, ApiKey.PRODUCE, ProduceRequest(acks=self.acks, timeout_ms=1000, topic_data=[data]), self._told)

    def _told(self, answer: Any) -> None:
        found = None if answer is None else answer.responses[0].partition_responses[0]
        if found is not None and found.error_code == 0:
            self.model.on_acknowledged(self.at, found.base_offset, self._values, is_all=self.acks == -1)
            self._sequence += len(self._values)
            self.process.at(self.timeline.uniform(0.2, 1.8) * self.pause_ms, self._next)
            return
        if found is not None and found.error_code not in RETRIABLE:
            name = ErrorCode(found.error_code).name
            self.model.complain(f"{self.name} was told {name} for sequence {self._sequence} of {self.at}")
        self.again(self._send)


class Consumer(Client):
    """Reads one partition from its beginning, and says what it saw."""

    isolation_level = 0

    def start(self, index: int) -> None:
        self.at = TopicPartition(TOPIC, index)
        self.position = 0
        self.begin()

    def begin(self) -> None:
        """From where it is."""
        self._seen_high_watermark = (-1, -1)
        self.learn(self._fetch)

    def _fetch(self) -> None:
        leader, epoch = self.leader_of(self.at), self.epoch_of(self.at)
        if leader is None:
            self.again(self._fetch)
            return
        asked = FetchPartition(self.at.partition, epoch, self.position, partition_max_bytes=2000)
        topics = [FetchTopic(topic_id=self.topic_ids[self.at.topic], partitions=[asked])]
        request = FetchRequest(
            max_wait_ms=1000,
            min_bytes=1,
            max_bytes=4000,
            isolation_level=self.isolation_level,
            session_epoch=-1,
            topics=topics,
        )
        self.ask(leader, ApiKey.FETCH, request, lambda answer: self._told(answer, epoch))

    def _told(self, answer: Any, epoch: int) -> None:
        if answer is None or answer.error_code or not answer.responses:
            self.again(self._fetch)
            return
        data = answer.responses[0].partitions[0]
        if data.error_code:
            if data.error_code not in RETRIABLE:
                name = ErrorCode(data.error_code).name
                self.model.complain(f"a reader of {self.at} at {self.position}, epoch {epoch}, was told {name}")
            self.again(self._fetch)
            return
        self._look_at_high_watermark(epoch, data.high_watermark)
        self.take(data, epoch)
        self.process.at(self.timeline.uniform(1, 50), self._fetch)

    def take(self, data: Any, epoch: int) -> None:
        """What was fetched in an epoch."""
        for batch in iter_whole_batches(memoryview(data.records or b"")):
            for record in batch.records():
                if record.offset >= self.position:
                    self.model.on_read(self.at, self.position, record.offset, record.value)
                    self.position = record.offset + 1

    def _look_at_high_watermark(self, epoch: int, high_watermark: int) -> None:
        before_epoch, before = self._seen_high_watermark
        if epoch == before_epoch and high_watermark < before:
            self.model.complain(f"the high watermark of {self.at} went back from {before} to {high_watermark}")
        if epoch >= before_epoch:
            self._seen_high_watermark = epoch, high_watermark
