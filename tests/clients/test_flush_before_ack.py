"""Real clients against `log.flush.before.ack`: they produce, read, commit as ever, and a crash takes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from kafka import KafkaConsumer, KafkaProducer
from tests.harness.brokers import TailraceProcess

COUNT = 2_000


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[TailraceProcess]:
    made = TailraceProcess(tmp_path, {"log.flush.before.ack": "true", "log.segment.bytes": "1048576"})
    made.start()
    yield made
    made.kill()


def test_librdkafka_produces_commits_and_reads_over_a_crash(broker: TailraceProcess) -> None:
    common = {"bootstrap.servers": broker.address, "log_level": 0}
    failures: list[KafkaError] = []
    settings = {"enable.idempotence": True, "linger.ms": 1, "batch.num.messages": 20, "message.timeout.ms": 60_000}
    producer = Producer({**common, **settings})
    for number in range(COUNT):
        producer.produce("t", b"%d" % number, partition=0, on_delivery=lambda e, _: failures.append(e) if e else None)
        if number == COUNT // 2:
            producer.poll(0)
            broker.kill_and_restart()
    assert producer.flush(60) == 0
    assert failures == []
    consumer = Consumer({**common, "group.id": "g", "auto.offset.reset": "earliest", "enable.auto.commit": False})
    consumer.subscribe(["t"])
    seen: list[bytes] = []
    while len(seen) < COUNT:
        found = consumer.consume(500, 30.0)
        assert found, f"only {len(seen)} records came"
        seen += [message.value() or b"" for message in found]
    assert [int(value) for value in seen] == list(range(COUNT))
    consumer.commit(asynchronous=False)
    broker.kill_and_restart()
    [committed] = consumer.committed([TopicPartition("t", 0)], 30.0)
    consumer.close()
    assert committed.offset == COUNT


@pytest.mark.parametrize("acks", ["all", 1, 0])
def test_kafka_python_with_every_acks(broker: TailraceProcess, acks: str | int) -> None:
    producer = KafkaProducer(bootstrap_servers=broker.address, acks=acks, enable_idempotence=False)
    sent = [producer.send("p", b"%d" % number) for number in range(200)]
    producer.flush(30)
    for future in sent:
        future.get(30)
    producer.close()
    consumer = KafkaConsumer(
        "p", bootstrap_servers=broker.address, auto_offset_reset="earliest", consumer_timeout_ms=5000
    )
    seen = [int(message.value) for _, message in zip(range(200), consumer, strict=False)]
    consumer.close()
    assert seen == list(range(200))
