"""Exactly-once copies over three brokers and etcd, by Apache's copier and by librdkafka, while one broker
after the other is killed and comes back."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.compat.test_etcd_cluster import wait
from tests.harness.brokers import java_command, tailrace_environment
from tests.harness.etcd import EtcdCluster

pytestmark = pytest.mark.compat

PARTITIONS = 3
JAVAS = 0
"""The partition that Java's copier copies: it ends where the records end that it finds."""
KILLS_LEAST = 3
"""The other copier is given the last of its records just before the last of these: it cannot be faster than they."""
RECORDS = int(os.environ.get("TAILRACE_CLUSTER_TRANSACTIONS_RECORDS", "600"))
"""Records of each partition. The default takes some 60 s, longer on a busy machine; with more the brokers are killed as
long as copies run."""
WAIT_S = max(240.0, RECORDS / 5)
STANDSTILL_S = 60.0
"""A copier that says nothing for so long is killed and started again, as whoever watches a service would."""
SETTINGS = {
    "broker.session.timeout.ms": "3000",
    "broker.heartbeat.interval.ms": "500",
    "replica.fetch.backoff.ms": "100",
    "replica.lag.time.max.ms": "5000",
}


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[EtcdCluster]:
    with EtcdCluster(tmp_path, SETTINGS) as made:
        made.start(1, 2, 3)
        yield made


def create(cluster: EtcdCluster, *topics: str) -> None:
    admin = AdminClient({"bootstrap.servers": cluster.servers(), "log_level": 0})
    wanted = [NewTopic(each, PARTITIONS, 3, config={"min.insync.replicas": "2"}) for each in topics]
    for created in admin.create_topics(wanted, request_timeout=60).values():
        created.result(90)


def in_sync(cluster: EtcdCluster) -> bool:
    """Whether every replica of every partition is."""
    admin = AdminClient({"bootstrap.servers": cluster.servers(), "log_level": 0})
    try:
        topics = admin.list_topics(timeout=10).topics.values()
    except KafkaException:  # it asked one that does not answer
        return False
    return all(len(each.isrs) == len(each.replicas) == 3 for topic in topics for each in topic.partitions.values())


def numbers(part: int) -> list[int]:
    """Of the records, in order: all of Java's partition in part 0, a part of the others in each."""
    bounds = [RECORDS * each // (KILLS_LEAST + 1) for each in (part, part + 1)]
    return [
        index * PARTITIONS + partition
        for partition in range(PARTITIONS)
        for index in (range(*bounds) if partition != JAVAS else range(RECORDS if part == 0 else 0))
    ]


def fill(cluster: EtcdCluster, topic: str, part: int) -> None:
    producer = Producer({"bootstrap.servers": cluster.servers(), "log_level": 0, "enable.idempotence": True})
    for number in numbers(part):
        producer.produce(topic, b"%d" % number, partition=number % PARTITIONS)
    assert producer.flush(90) == 0


def java_copier(cluster: EtcdCluster, source: str, target: str) -> list[str]:
    arguments = {
        "--transactional-id": "java",
        "--input-topic": source,
        "--input-partition": str(JAVAS),
        "--output-topic": target,
        "--max-messages": str(RECORDS),
        "--consumer-group": "java",
        "--broker-list": cluster.servers(),
        "--transaction-size": "20",
        "--transaction-timeout": "10000",
    }
    java = java_command("-Xmx128m", log_level="ERROR")
    options = [part for pair in arguments.items() for part in pair]
    return [*java, "org.apache.kafka.tools.TransactionalMessageCopier", *options, "--enable-random-aborts"]


def our_copier(cluster: EtcdCluster, source: str, target: str) -> list[str]:
    module = [sys.executable, "-m", "tests.compat.transactional_copier"]
    return [*module, cluster.servers(), "librdkafka", source, target, str(2 * RECORDS), str(WAIT_S), "1", "2"]


class Copies:
    """The copiers as processes; one that ended with an error is started again, as its user would."""

    def __init__(self, directory: Path, commands: Sequence[list[str]]) -> None:
        self._commands = list(commands)
        self.logs = [directory / f"copier-{number}.log" for number in range(len(commands))]
        self._processes: dict[int, subprocess.Popen[bytes]] = {}
        self.starts = 0
        self.standstills = 0

    def __enter__(self) -> Copies:
        for number in range(len(self._commands)):
            self._start(number)
        return self

    def __exit__(self, *_: object) -> None:
        for process in self._processes.values():
            process.kill()
            process.wait(10)

    def _start(self, number: int) -> None:
        self.starts += 1
        environment = {**tailrace_environment(), "PYTHONPATH": os.pathsep.join(sys.path)}
        with self.logs[number].open("ab") as out:
            self._processes[number] = subprocess.Popen(self._commands[number], stdout=out, stderr=out, env=environment)

    def are_done(self) -> bool:
        """Whether all have ended well. What ended otherwise is started again, and what stands still."""
        for number, process in list(self._processes.items()):
            status = process.poll()
            if status == 0:
                del self._processes[number]
            elif status is not None:
                self._start(number)
            elif time.time() - self.logs[number].stat().st_mtime > STANDSTILL_S:
                self.standstills += 1
                process.kill()
                process.wait(10)
        return not self._processes

    def tails(self) -> str:
        return "\n".join(f"{each.name}: {each.read_text()[-3000:]}" for each in self.logs)


def read_committed(cluster: EtcdCluster, topic: str) -> list[int]:
    """Everything up to the ends of the partitions."""
    consumer = Consumer(
        {
            "bootstrap.servers": cluster.servers(),
            "group.id": "reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition(topic, each, 0) for each in range(PARTITIONS)])
        values: list[int] = []
        ended: set[int] = set()
        deadline = time.monotonic() + 90
        while len(ended) < PARTITIONS and time.monotonic() < deadline:
            for each in consumer.consume(500, 0.3):
                if each.error() is None:
                    values.append(int(each.value()))
                else:
                    ended.add(each.partition())
        assert len(ended) == PARTITIONS, f"a partition's end is not reached: {len(values)} records read"
        return values
    finally:
        consumer.close()


@pytest.mark.timeout(WAIT_S + 90)
def test_copies_are_exact_while_one_broker_after_the_other_is_killed(cluster: EtcdCluster, tmp_path: Path) -> None:
    create(cluster, "source", "target")
    fill(cluster, "source", 0)
    until = time.monotonic() + WAIT_S
    kills = 0
    with Copies(
        tmp_path, [java_copier(cluster, "source", "target"), our_copier(cluster, "source", "target")]
    ) as copies:
        while not all("copied" in each.read_text() or "ProcessLoop" in each.read_text() for each in copies.logs):
            assert time.monotonic() < until and not copies.are_done(), copies.tails()
            time.sleep(0.05)
        while not copies.are_done():
            assert time.monotonic() < until, copies.tails()
            if kills < KILLS_LEAST or RECORDS > 600:
                if kills < KILLS_LEAST:
                    fill(cluster, "source", kills + 1)
                node_id = kills % 3 + 1
                cluster.brokers[node_id].kill()
                kills += 1
                time.sleep(1)
                cluster.start(node_id)
                wait(lambda: in_sync(cluster), "in sync again")
            time.sleep(0.3)
    assert kills >= KILLS_LEAST
    assert sorted(read_committed(cluster, "target")) == list(range(RECORDS * PARTITIONS))
    print(f"{kills} kills, {copies.starts} starts of copiers, {copies.standstills} of one that stood still")
