"""Replication between processes, with etcd: leaders are killed under a producer that wants every record once."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.compat.test_etcd_cluster import wait
from tests.harness.etcd import EtcdCluster

pytestmark = pytest.mark.compat

FAST = {
    "broker.session.timeout.ms": "1500",
    "broker.heartbeat.interval.ms": "300",
    "replica.fetch.backoff.ms": "100",
    "replica.lag.time.max.ms": "5000",
    "log.flush.offset.checkpoint.interval.ms": "500",
}


class Cluster(EtcdCluster):
    """One whose topics have a partition each."""

    def create(self, topic: str, replicas: int, min_isr: int) -> None:
        admin = AdminClient({"bootstrap.servers": self.servers(), "log_level": 0})
        wanted = NewTopic(topic, 1, replicas, config={"min.insync.replicas": str(min_isr)})
        for created in admin.create_topics([wanted]).values():
            created.result()

    def state(self, topic: str) -> tuple[int, list[int]]:
        """(leader, in-sync replicas) of partition 0."""
        alive = [node_id for node_id, broker in self.brokers.items() if broker.process is not None]
        admin = AdminClient({"bootstrap.servers": self.servers(*alive), "log_level": 0})
        try:
            found = admin.list_topics(topic, timeout=10).topics[topic].partitions.get(0)
        except KafkaException:  # it asked one that does not answer
            found = None
        return (-1, []) if found is None else (found.leader, sorted(found.isrs))

    def high_watermark(self, node_id: int, topic: str) -> int:
        """Of partition 0, as the broker last wrote it down; 0 before."""
        (path,) = (self.directory / str(node_id)).glob("**/replication-offset-checkpoint")
        found = re.search(rf"^{topic} 0 (\d+)$", path.read_text(), re.MULTILINE)
        return 0 if found is None else int(found[1])

    def log_bytes(self, node_id: int, topic: str) -> bytes:
        paths = sorted((self.directory / str(node_id)).glob(f"**/{topic}-0/*.log"))
        return b"".join(path.read_bytes() for path in paths)


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, FAST) as made:
        yield made


class Writer:
    """An idempotent producer that numbers its records, and what it was told."""

    def __init__(self, servers: str, topic: str) -> None:
        settings = {"enable.idempotence": True, "linger.ms": 1, "topic.metadata.refresh.interval.ms": 250}
        self._producer = Producer({"bootstrap.servers": servers, "log_level": 0, **settings})
        self._topic = topic
        self._written = 0
        self.acknowledged: list[tuple[int, bytes]] = []
        self.failed: list[str] = []

    def write(self, count: int) -> None:
        for _ in range(count):
            self._producer.produce(self._topic, b"%d" % self._written, partition=0, on_delivery=self._told)
            self._written += 1
            self._producer.poll(0.002)

    def until_acknowledged(self) -> float:
        """Seconds until a record that is written now is acknowledged."""
        before, began = len(self.acknowledged), time.monotonic()
        self.write(1)
        while not any(int(value) >= self._written - 1 for _, value in self.acknowledged[before:]):
            assert time.monotonic() - began < 90, "never acknowledged"
            self._producer.poll(0.01)
        return time.monotonic() - began

    def _told(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            self.failed.append(str(error))
        else:
            self.acknowledged.append((message.offset(), message.value()))

    def finish(self) -> list[bytes]:
        """Every value written, once all are acknowledged."""
        assert self._producer.flush(90) == 0
        assert self.failed == []
        return [b"%d" % number for number in range(self._written)]


def read(servers: str, topic: str) -> list[bytes]:
    consumer = Consumer({"bootstrap.servers": servers, "group.id": "reader", "log_level": 0})
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=60)
        consumer.assign([TopicPartition(topic, 0, 0)])
        values: list[bytes] = []
        deadline = time.monotonic() + 90
        while len(values) < end and time.monotonic() < deadline:
            values += [message.value() for message in consumer.consume(500, 0.5) if message.error() is None]
        return values
    finally:
        consumer.close()


def test_leaders_are_killed_and_every_record_is_there_once(cluster: Cluster) -> None:
    cluster.start(1, 2, 3)
    cluster.create("t", 3, 2)
    wait(lambda: cluster.state("t")[1] == [1, 2, 3], "all in sync")
    writer = Writer(cluster.servers(), "t")
    failovers_s = []
    for _ in range(3):
        writer.write(300)
        killed = cluster.state("t")[0]
        cluster.brokers[killed].kill()
        failovers_s.append(writer.until_acknowledged())
        writer.write(200)
        cluster.start(killed)
        wait(lambda: cluster.state("t")[1] == [1, 2, 3], "in sync again")
    values = writer.finish()
    assert [value for _, value in sorted(writer.acknowledged)] == values
    assert read(cluster.servers(), "t") == values
    wait(lambda: cluster.log_bytes(1, "t") == cluster.log_bytes(2, "t") == cluster.log_bytes(3, "t"), "identical")
    print("failovers, s:", [round(each, 2) for each in failovers_s])


def test_a_leader_that_was_paused_finds_another_in_its_place(cluster: Cluster) -> None:
    """It wakes up, fenced by its own clock, before it can answer as the leader that it was."""
    cluster.start(1, 2, 3)
    cluster.create("t", 3, 2)
    wait(lambda: cluster.state("t")[1] == [1, 2, 3], "all in sync")
    writer = Writer(cluster.servers(), "t")
    for _ in range(2):
        writer.write(200)
        paused = cluster.state("t")[0]
        cluster.brokers[paused].pause()
        writer.write(100)  # some of it lies in the paused broker's sockets
        time.sleep(4)
        cluster.brokers[paused].resume()
        writer.until_acknowledged()
        wait(lambda: cluster.state("t")[1] == [1, 2, 3], "in sync again")
    values = writer.finish()
    assert read(cluster.servers(), "t") == values
    wait(lambda: cluster.log_bytes(1, "t") == cluster.log_bytes(2, "t") == cluster.log_bytes(3, "t"), "identical")


def test_two_brokers_and_two_replicas_survive_one_loss(cluster: Cluster) -> None:
    """The argument for primary and backup over a quorum."""
    cluster.start(1, 2)
    cluster.create("t", 2, 1)
    wait(lambda: cluster.state("t")[1] == [1, 2], "both in sync")
    writer = Writer(cluster.servers(), "t")
    writer.write(200)
    writer.until_acknowledged()
    killed = cluster.state("t")[0]
    cluster.brokers[killed].kill()
    writer.until_acknowledged()
    values = writer.finish()
    assert read(cluster.brokers[3 - killed].address, "t") == values


def test_every_broker_is_restarted_in_turn_under_load(cluster: Cluster) -> None:
    """A rolling upgrade: leaders are handed over, and the producer sees no error."""
    cluster.start(1, 2, 3)
    cluster.create("t", 3, 2)
    writer = Writer(cluster.servers(), "t")
    for node_id in (1, 2, 3):
        writer.write(100)
        cluster.brokers[node_id].stop()
        writer.write(100)
        writer.until_acknowledged()
        cluster.start(node_id)
        wait(lambda: cluster.state("t")[1] == [1, 2, 3], "in sync again")
    values = writer.finish()
    assert read(cluster.servers(), "t") == values


def test_with_two_of_three_dead_acks_all_is_refused_and_what_was_committed_is_read(cluster: Cluster) -> None:
    """min.insync.replicas=2: the last one has everything, says so, and takes nothing that it alone would have."""
    cluster.start(1, 2, 3)
    cluster.create("t", 3, 2)
    wait(lambda: cluster.state("t")[1] == [1, 2, 3], "all in sync")
    writer = Writer(cluster.servers(), "t")
    writer.write(200)
    writer.until_acknowledged()
    values = writer.finish()
    wait(lambda: all(cluster.high_watermark(each, "t") >= len(values) for each in (1, 2, 3)), "each knows that")
    leader = cluster.state("t")[0]
    last = next(node_id for node_id in (1, 2, 3) if node_id != leader)
    for node_id in {1, 2, 3} - {last}:
        cluster.brokers[node_id].kill()
    of_last = cluster.brokers[last].address
    wait(lambda: cluster.state("t") == (last, [last]), "the last one leads, alone in sync")
    assert refusal(of_last, "t", "all") is KafkaError.NOT_ENOUGH_REPLICAS
    assert read(of_last, "t") == values
    cluster.start(leader)
    wait(lambda: len(cluster.state("t")[1]) == 2, "two in sync")
    assert refusal(cluster.servers(), "t", "all", retries=100) is None
    assert read(cluster.servers(), "t") == [*values, b"asked"]


def refusal(servers: str, topic: str, acks: str, retries: int = 0) -> int | None:
    """The error code for one record, sent once or until somebody says that he leads; None when it was taken."""
    codes: list[int | None] = []
    producer = Producer({"bootstrap.servers": servers, "acks": acks, "retries": retries, "log_level": 0})
    producer.produce(topic, b"asked", partition=0, on_delivery=lambda error, _: codes.append(error and error.code()))
    assert producer.flush(90) == 0
    return codes[0]
