"""MirrorMaker 2 copies between this broker and Apache Kafka, both ways at once: records with their keys, headers and
timestamps, partition by partition, settings of topics, and offsets of groups."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType
from tests.compat.java_client import streams_libraries
from tests.harness.brokers import BrokerProcess, KafkaProcess, java_command
from tests.harness.drivers import eventually
from tests.harness.story import new_name

PARTITIONS = 2
RECORDS = 600
WAIT_S = 90.0
FIRST_TIMESTAMP_MS = 1_700_000_000_000
Copied = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...], int]


def settings_of(here: str, there: str, topics: dict[str, str], group: str) -> dict[str, object]:
    """Both flows, names of topics kept, and everything looked at every second instead of every minutes."""
    settings: dict[str, object] = {
        "clusters": "here, there",
        "here.bootstrap.servers": here,
        "there.bootstrap.servers": there,
        "replication.policy.class": "org.apache.kafka.connect.mirror.IdentityReplicationPolicy",
        "replication.factor": 1,
        "groups": group,
        "sync.topic.acls.enabled": "false",
        "sync.group.offsets.enabled": "true",
        "offset-syncs.topic.replication.factor": 1,
        "checkpoints.topic.replication.factor": 1,
        "heartbeats.topic.replication.factor": 1,
        "offset.lag.max": 0,
        "refresh.topics.interval.seconds": 1,
        "refresh.groups.interval.seconds": 1,
        "sync.topic.configs.interval.seconds": 1,
        "sync.group.offsets.interval.seconds": 1,
        "emit.checkpoints.interval.seconds": 1,
        "tasks.max": 1,
    }
    for flow, topic in topics.items():
        settings |= {f"{flow}.enabled": "true", f"{flow}.topics": topic}
    for cluster in ("here", "there"):
        for name in ("offset", "status", "config"):
            settings[f"{cluster}.{name}.storage.replication.factor"] = 1
    return settings


@contextmanager
def mirror_maker(directory: Path, settings: dict[str, object]) -> Iterator[Path]:
    """The process, and its log."""
    (directory / "mm2.properties").write_text("".join(f"{name}={value}\n" for name, value in settings.items()))
    libraries = tuple(sorted(streams_libraries().glob("connect-*.jar")))
    java = java_command("-Xmx384m", log_level="INFO", classpath=libraries)
    log = directory / "mm2.log"
    with log.open("ab") as out:
        command = [*java, "org.apache.kafka.connect.mirror.MirrorMaker", str(directory / "mm2.properties")]
        process = subprocess.Popen(command, stdout=out, stderr=out)
    try:
        yield log
        assert process.poll() is None, log.read_text()[-6000:]
    finally:  # its own end waits for both sides; what it copied it has copied
        process.kill()
        process.wait()


def fill(address: str, topic: str, seed: str) -> None:
    admin = AdminClient({"bootstrap.servers": address})
    wanted = NewTopic(topic, PARTITIONS, 1, config={"retention.ms": "864000000000", "max.message.bytes": "654321"})
    admin.create_topics([wanted])[topic].result(60)
    producer = Producer({"bootstrap.servers": address, "linger.ms": 5, "compression.type": "lz4"})
    for number in range(RECORDS):
        for partition in range(PARTITIONS):
            key = None if number % 7 == 0 else f"{seed}{number}".encode()
            value = None if key is not None and number % 11 == 0 else bytes([partition, number % 256]) * (number % 50)
            headers: list[tuple[str, str | bytes | None]] = [("n", str(number).encode())] if number % 3 else []
            producer.produce(topic, value, key, partition, timestamp=FIRST_TIMESTAMP_MS + number, headers=headers)
    assert producer.flush(60) == 0


def read(address: str, topic: str, partition: int) -> list[Copied]:
    """All of it, from its beginning."""
    reader = Consumer({"bootstrap.servers": address, "group.id": "unused", "enable.auto.commit": False})
    try:
        _, end = reader.get_watermark_offsets(TopicPartition(topic, partition), 30)
        reader.assign([TopicPartition(topic, partition, 0)])
        found: list[Copied] = []
        while len(found) < end:
            messages = reader.consume(end - len(found), 30)
            assert messages, f"{len(found)} of {end} records"
            found += [(m.key(), m.value(), tuple(m.headers() or ()), m.timestamp()[1]) for m in messages]
        return found
    finally:
        reader.close()


def commit(address: str, group: str, topic: str) -> None:
    reader = Consumer({"bootstrap.servers": address, "group.id": group, "enable.auto.commit": False})
    reader.commit(offsets=[TopicPartition(topic, p, RECORDS) for p in range(PARTITIONS)], asynchronous=False)
    reader.close()


def committed(address: str, group: str, topic: str) -> list[int]:
    reader = Consumer({"bootstrap.servers": address, "group.id": group})
    try:
        return [found.offset for found in reader.committed([TopicPartition(topic, p) for p in range(PARTITIONS)], 30)]
    finally:
        reader.close()


def has_all(address: str, topic: str) -> bool:
    admin = AdminClient({"bootstrap.servers": address})
    if len(admin.list_topics(topic, timeout=60).topics[topic].partitions) < PARTITIONS:
        return False
    reader = Consumer({"bootstrap.servers": address, "group.id": "unused"})
    try:
        ends = [reader.get_watermark_offsets(TopicPartition(topic, p), 30)[1] for p in range(PARTITIONS)]
    except KafkaException:  # its leader has only just been told
        return False
    finally:
        reader.close()
    return ends == [RECORDS] * PARTITIONS


def is_set(address: str, topic: str) -> bool:
    resource = ConfigResource(ResourceType.TOPIC, topic)
    admin = AdminClient({"bootstrap.servers": address})
    found = admin.describe_configs([resource])[resource].result(60)
    return (found["retention.ms"].value, found["max.message.bytes"].value) == ("864000000000", "654321")


@pytest.mark.timeout(300)
def test_both_ways_with_apache_kafka(broker: BrokerProcess, tmp_path: Path) -> None:
    out, back, group = new_name("out"), new_name("back"), new_name("moving")
    there = KafkaProcess(tmp_path / "kafka", {"offsets.topic.num.partitions": "1"})
    there.start()
    try:
        fill(broker.address, out, "o")
        fill(there.address, back, "b")
        commit(broker.address, group, out)
        flows = {"here->there": out, "there->here": back}
        with mirror_maker(tmp_path, settings_of(broker.address, there.address, flows, group)) as log:

            def wait(condition: Callable[[], bool], what: str) -> None:
                eventually(condition, f"{what}: {log.read_text()[-4000:]}", timeout_s=WAIT_S)

            wait(partial(has_all, there.address, out), "what was here is there")
            wait(partial(has_all, broker.address, back), "what was there is here")
            wait(partial(is_set, there.address, out), "with its settings")
            wait(partial(is_set, broker.address, back), "with its settings")
            wait(lambda: committed(there.address, group, out) == [RECORDS] * PARTITIONS, "and where the group is")
        for topic in (out, back):
            for partition in range(PARTITIONS):
                assert read(broker.address, topic, partition) == read(there.address, topic, partition)
    finally:
        there.kill()
