"""Transactions over three brokers: coordinators, groups and partitions each led by another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from node.replicated import WAIT_S, Cluster, until
from node.served import RawClient
from tailrace.base.errors import ErrorCode
from tailrace.cluster.image import GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC
from tailrace.records.builder import BatchBuilder
from tailrace.records.crc import crc32c
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.create_topics import CreatableTopic, CreatableTopicConfig, CreateTopicsRequest
from tailrace.wire.messages.end_txn import EndTxnRequest
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.init_producer_id import InitProducerIdRequest
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData
from tailrace.wire.messages.write_txn_markers import (
    WritableTxnMarker,
    WritableTxnMarkerTopic,
    WriteTxnMarkersRequest,
)

pytestmark = pytest.mark.slow

PARTITIONS = 6


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, 3) as started:
        create(started, "t")
        yield started


def create(cluster: Cluster, topic: str) -> None:
    configs = [CreatableTopicConfig("min.insync.replicas", "2")]
    asked = CreateTopicsRequest([CreatableTopic(topic, PARTITIONS, 3, configs=configs)], timeout_ms=10_000)
    response = cluster.ask(1, lambda it: it.request(ApiKey.CREATE_TOPICS, asked))
    assert response.topics[0].error_code == 0
    servers = [cluster.server(each) for each in cluster.hosts]
    until(lambda: all(server.services.metadata.image.topic(topic) for server in servers))


def servers(cluster: Cluster) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in cluster.ports.values())


def leader(cluster: Cluster, topic: str, partition: int) -> int:
    found = cluster.server(next(iter(cluster.hosts))).services.metadata.image.partition(topic, partition)
    assert found is not None
    return found.leader


def transactional(cluster: Cluster, name: str) -> Producer:
    settings = {
        "bootstrap.servers": servers(cluster),
        "transactional.id": name,
        "transaction.timeout.ms": 15_000,
        "topic.metadata.refresh.interval.ms": 300,
        "log_level": 0,
    }
    producer = Producer(settings)
    producer.init_transactions(WAIT_S)
    return producer


def read_committed(cluster: Cluster, count: int, topic: str = "t") -> list[bytes]:
    """`count` values, and whatever comes in the half second after them."""
    consumer = Consumer(
        {
            "bootstrap.servers": servers(cluster),
            "group.id": "reader",
            "enable.auto.commit": False,  # there may be no coordinator for it
            "isolation.level": "read_committed",
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, each, 0) for each in range(PARTITIONS)])
        values: list[bytes] = []
        deadline = time.monotonic() + WAIT_S
        while len(values) < count and time.monotonic() < deadline:
            values += [each.value() for each in consumer.consume(500, 0.2) if each.error() is None]
        return values + [each.value() for each in consumer.consume(500, 0.5) if each.error() is None]
    finally:
        consumer.close()


def coordinator(cluster: Cluster, transactional_id: str) -> int:
    """The broker that coordinates an id, once there is one."""

    def ask() -> int:
        asked = next(iter(cluster.hosts))
        with RawClient(("127.0.0.1", cluster.ports[asked])) as client:
            response = client.ask(ApiKey.FIND_COORDINATOR, 3, FindCoordinatorRequest(transactional_id, 1))
        return int(response.node_id)

    until(lambda: ask() > 0)
    return ask()


def test_markers_reach_the_leaders_of_all_partitions(cluster: Cluster) -> None:
    """Eight producers, so that every broker coordinates; each transaction writes to partitions on every broker."""
    assert {leader(cluster, "t", each) for each in range(PARTITIONS)} == {1, 2, 3}
    expected: list[bytes] = []
    for number in range(8):
        producer = transactional(cluster, f"id-{number}")
        for is_commit in (True, False, True):
            producer.begin_transaction()
            values = [b"%d-%d-%d" % (number, is_commit, each) for each in range(PARTITIONS)]
            for each, value in enumerate(values):
                producer.produce("t", value, partition=each)
            if is_commit:
                producer.commit_transaction(WAIT_S)
                expected += values
            else:
                assert producer.flush(WAIT_S) == 0
                producer.abort_transaction(WAIT_S)
    assert {coordinator(cluster, f"id-{number}") for number in range(8)} == {1, 2, 3}
    assert sorted(read_committed(cluster, len(expected))) == sorted(expected)


def test_offsets_committed_in_a_transaction_come_true_at_the_groups_broker(cluster: Cluster) -> None:
    names = [f"id-{number}" for number in range(6)]
    consumer = Consumer({"bootstrap.servers": servers(cluster), "group.id": "g", "enable.auto.commit": False})
    try:
        for offset, name in enumerate(names, 1):
            producer = transactional(cluster, name)
            for is_commit in (False, True):
                producer.begin_transaction()
                producer.produce("t", b"x", partition=offset % PARTITIONS)
                position = TopicPartition("t", 0, offset if is_commit else 999)
                producer.send_offsets_to_transaction([position], consumer.consumer_group_metadata(), WAIT_S)
                producer.commit_transaction(WAIT_S) if is_commit else producer.abort_transaction(WAIT_S)
            (found,) = consumer.committed([TopicPartition("t", 0)], WAIT_S)
            assert found.offset == offset
    finally:
        consumer.close()
    kept_by = leader(cluster, GROUP_METADATA_TOPIC, 0)
    assert {coordinator(cluster, name) for name in names} - {kept_by}, "some were not coordinated where the group is"


class Client:
    """A producer of transactions v2, by hand: Produce adds the partitions, EndTxn raises the epoch."""

    def __init__(self, cluster: Cluster, transactional_id: str) -> None:
        self._cluster = cluster
        self._id = transactional_id
        self.coordinator = coordinator(cluster, transactional_id)
        self.identity = (-1, -1)
        until(self._begin)

    def _begin(self) -> bool:
        request = InitProducerIdRequest(self._id, 15_000, -1, -1)
        with RawClient(("127.0.0.1", self._cluster.ports[self.coordinator])) as client:
            response = client.ask(ApiKey.INIT_PRODUCER_ID, 4, request)
        self.identity = response.producer_id, response.producer_epoch
        return response.error_code == 0

    def batch(self, value: bytes, sequence: int) -> bytes:
        builder = BatchBuilder()
        builder.append(1_700_000_000_000, None, value)
        made = bytearray(builder.build_transactional(*self.identity))
        made[53:57] = sequence.to_bytes(4, "big", signed=True)
        made[17:21] = crc32c(made[21:]).to_bytes(4, "big")
        return bytes(made)

    def request(self, partition: int, value: bytes, sequence: int) -> ProduceRequest:
        data = [TopicProduceData("t", partition_data=[PartitionProduceData(partition, self.batch(value, sequence))])]
        return ProduceRequest(self._id, -1, 10_000, data)

    def end(self, is_commit: bool = True) -> ErrorCode:
        with RawClient(("127.0.0.1", self._cluster.ports[self.coordinator])) as client:
            response = client.ask(ApiKey.END_TXN, 5, EndTxnRequest(self._id, *self.identity, is_commit))
        if response.error_code == 0:
            self.identity = response.producer_id, response.producer_epoch
        return ErrorCode(response.error_code)


def code_of(response: Any) -> ErrorCode:
    (partition,) = response.responses[0].partition_responses
    return ErrorCode(partition.error_code)


def test_produce_adds_the_partition_at_a_coordinator_elsewhere(cluster: Cluster) -> None:
    """Two batches sent at once: the second waits behind the first, whose partition is being added."""
    client = Client(cluster, "id-0")
    elsewhere = next(each for each in range(PARTITIONS) if leader(cluster, "t", each) != client.coordinator)
    for round_number in range(3):
        with RawClient(("127.0.0.1", cluster.ports[leader(cluster, "t", elsewhere)])) as raw:
            for sequence in range(3):
                value = b"%d-%d" % (round_number, sequence)
                raw.send(ApiKey.PRODUCE, 12, client.request(elsewhere, value, sequence))
            codes = [code_of(raw.receive(ApiKey.PRODUCE, 12)[1]) for _ in range(3)]
        assert codes == [ErrorCode.NONE] * 3
        assert client.end() is ErrorCode.NONE
    assert read_committed(cluster, 9) == [b"%d-%d" % (each, sequence) for each in range(3) for sequence in range(3)]


def test_who_was_fenced_is_refused_by_a_coordinator_elsewhere(cluster: Cluster) -> None:
    first, second = Client(cluster, "id-0"), Client(cluster, "id-0")
    elsewhere = next(each for each in range(PARTITIONS) if leader(cluster, "t", each) != first.coordinator)
    with RawClient(("127.0.0.1", cluster.ports[leader(cluster, "t", elsewhere)])) as raw:
        refused = code_of(raw.ask(ApiKey.PRODUCE, 12, first.request(elsewhere, b"x", 0)))
        assert refused is ErrorCode.INVALID_PRODUCER_EPOCH
        not_added = code_of(raw.ask(ApiKey.PRODUCE, 11, second.request(elsewhere, b"x", 0)))
        assert not_added is ErrorCode.TRANSACTION_ABORTABLE, "before v12 somebody must have added it"
        too_old = code_of(raw.ask(ApiKey.PRODUCE, 10, second.request(elsewhere, b"x", 0)))
        assert too_old is ErrorCode.INVALID_TXN_STATE


def test_a_coordinator_that_is_not_one_any_more_is_refused(cluster: Cluster) -> None:
    """Its marker bears an older epoch than one that the partition has seen."""
    client = Client(cluster, "id-0")
    address = ("127.0.0.1", cluster.ports[leader(cluster, "t", 0)])
    with RawClient(address) as raw:
        assert code_of(raw.ask(ApiKey.PRODUCE, 12, client.request(0, b"x", 0))) is ErrorCode.NONE

        def mark(coordinator_epoch: int, producer_epoch: int) -> int:
            topics = [WritableTxnMarkerTopic("t", [0])]
            marker = WritableTxnMarker(client.identity[0], producer_epoch, True, topics, coordinator_epoch, 2)
            response = raw.ask(ApiKey.WRITE_TXN_MARKERS, 2, WriteTxnMarkersRequest([marker]))
            return int(response.markers[0].topics[0].partitions[0].error_code)

        assert mark(7, 1) == ErrorCode.NONE
        assert mark(6, 2) == ErrorCode.TRANSACTION_COORDINATOR_FENCED


def test_the_next_coordinator_completes_what_the_last_one_decided(cluster: Cluster) -> None:
    """The coordinator is killed with a transaction decided and its markers held back; another writes them."""
    client = Client(cluster, "id-0")
    partitions = [each for each in range(PARTITIONS) if leader(cluster, "t", each) != client.coordinator]
    for each in partitions:
        with RawClient(("127.0.0.1", cluster.ports[leader(cluster, "t", each)])) as raw:
            assert code_of(raw.ask(ApiKey.PRODUCE, 12, client.request(each, b"%d" % each, 0))) is ErrorCode.NONE
    others = [each for each in cluster.hosts if each != client.coordinator]
    for each in others:
        fail = partial(cluster.server(each).faults.add_error, ApiKey.WRITE_TXN_MARKERS, ErrorCode.UNKNOWN_SERVER_ERROR)
        cluster.hosts[each].call(partial(fail, 10_000))
    assert client.end() is ErrorCode.NONE
    killed = client.coordinator
    cluster.stop(killed, clean=False)
    cluster.fence(killed)
    index = cluster.server(others[0]).services.transactions.partition_for("id-0")
    until(lambda: leader(cluster, TRANSACTION_STATE_TOPIC, index) in others, "somebody else coordinates")
    for each in others:
        cluster.hosts[each].call(cluster.server(each).faults.clear)
    assert sorted(read_committed(cluster, len(partitions))) == [b"%d" % each for each in partitions]
