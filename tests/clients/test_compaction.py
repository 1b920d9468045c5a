"""Compaction in a real broker: a topic of keys, and the group coordinator's own, with real clients and a `kill -9`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic
from tests.harness.brokers import TailraceProcess

SETTINGS = {
    "log.cleaner.backoff.ms": "50",
    "log.cleaner.min.cleanable.ratio": "0.01",
    "offsets.topic.segment.bytes": "1048576",
    "offsets.topic.num.partitions": "1",
    "log.segment.delete.delay.ms": "0",
}
COMMITS = 600
METADATA = "m" * 4000  # so that they fill two segments


def wait_until(is_so: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 90
    while not is_so():
        assert time.monotonic() < deadline, what
        time.sleep(0.05)


def log_bytes(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.glob("*.log"))


def consumer_of(broker: TailraceProcess, group: str) -> Consumer:
    return Consumer(
        {
            "bootstrap.servers": broker.address,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
        }
    )


def committed(broker: TailraceProcess, group: str) -> list[int]:
    consumer = consumer_of(broker, group)
    found = consumer.committed([TopicPartition("t", 0), TopicPartition("t", 1)], timeout=60)
    consumer.close()
    return [partition.offset for partition in found]


def test_groups_go_on_over_their_compacted_topic(tmp_path: Path) -> None:
    broker = TailraceProcess(tmp_path, SETTINGS)
    broker.start()
    try:
        admin = AdminClient({"bootstrap.servers": broker.address})
        admin.create_topics([NewTopic("t", 2)])["t"].result(60)
        producer = Producer({"bootstrap.servers": broker.address})
        for number in range(COMMITS + 10):
            producer.produce("t", b"%d" % number, partition=0)
        assert producer.flush(60) == 0
        others = consumer_of(broker, "forgotten")
        others.committed([TopicPartition("t", 1)], timeout=60)  # librdkafka commits only once it knows the coordinator
        others.commit(offsets=[TopicPartition("t", 1, 5)], asynchronous=False)
        others.close()
        consumer = consumer_of(broker, "g")
        consumer.subscribe(["t"])
        assert len(consumer.consume(1, 30)) == 1
        for number in range(1, COMMITS + 1):
            consumer.commit(offsets=[TopicPartition("t", 0, number, METADATA)], asynchronous=False)
        consumer.close()
        admin.delete_consumer_groups(["forgotten"])["forgotten"].result(60)
        offsets = broker.data_directory / "__consumer_offsets-0"
        wait_until(lambda: log_bytes(offsets) < 1_200_000, f"{log_bytes(offsets)} bytes of commits")
        assert "compacted __consumer_offsets-0" in broker.log_tail()
        for _ in range(2):
            assert committed(broker, "g") == [COMMITS, -1001]
            assert committed(broker, "forgotten") == [-1001, -1001], "its tombstones are obeyed"
            broker.kill_and_restart()
        consumer = consumer_of(broker, "g")
        consumer.subscribe(["t"])
        assert [message.value() for message in consumer.consume(10, 30)] == [b"%d" % (COMMITS + n) for n in range(10)]
        consumer.close()
    finally:
        broker.kill()


def test_a_topic_of_keys_keeps_the_latest_value_of_each(tmp_path: Path) -> None:
    broker = TailraceProcess(tmp_path, SETTINGS)
    broker.start()
    try:
        admin = AdminClient({"bootstrap.servers": broker.address})
        config = {"cleanup.policy": "compact", "segment.bytes": "1048576", "compression.type": "lz4"}
        admin.create_topics([NewTopic("keys", 1, config=config)])["keys"].result(60)
        producer = Producer({"bootstrap.servers": broker.address, "enable.idempotence": True})
        for number in range(30_000):
            producer.produce("keys", b"%d" % number + os.urandom(300), b"key-%d" % (number % 100))
            producer.poll(0)
        assert producer.flush(60) == 0
        before = 30_000
        directory = broker.data_directory / "keys-0"
        wait_until(lambda: "compacted keys-0" in broker.log_tail() or log_bytes(directory) < 2_000_000, "no cleaning")
        broker.kill_and_restart()
        consumer = consumer_of(broker, "reader")
        consumer.assign([TopicPartition("keys", 0, 0)])
        latest: dict[bytes, tuple[int, bytes]] = {}
        count = 0
        while True:
            messages = consumer.consume(1000, 5)
            for message in messages:
                count += 1
                latest[message.key()] = (message.offset(), message.value())
            if latest and max(offset for offset, _ in latest.values()) == before - 1:
                break
        consumer.close()
        assert {key: offset for key, (offset, _) in latest.items()} == {
            b"key-%d" % (number % 100): number for number in range(before - 100, before)
        }
        assert count < before
    finally:
        broker.kill()
