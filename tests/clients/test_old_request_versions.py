"""A real client that speaks the protocol of old Kafka releases: message sets, old fetches, old commits.

kafka-python sends what a broker of the given release knew: Produce and Fetch v0 for 0.8.2, v1 for 0.9 and v2 for 0.10,
with messages of magic 0, 0 and 1; batches and Fetch v5 for 0.11. See docs/decisions/0003.
"""

from __future__ import annotations

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from harness.brokers import BrokerProcess

RELEASES = [(0, 8, 2), (0, 9), (0, 10), (0, 11), (1, 0), (2, 5, 0)]
COUNT = 5


@pytest.mark.parametrize("codec", [None, "gzip"])
@pytest.mark.parametrize("release", RELEASES, ids=str)
def test_produces_consumes_and_commits_as_of_old(
    broker: BrokerProcess, release: tuple[int, ...], codec: str | None
) -> None:
    topic = f"old-{'-'.join(map(str, release))}-{codec}"
    common = {"bootstrap_servers": broker.address, "api_version": release}
    producer = KafkaProducer(**common, compression_type=codec, acks="all")
    sent = [b"v%d" % index for index in range(COUNT)]
    try:
        offsets = [producer.send(topic, value, key=b"k").get(20).offset for value in sent]
    finally:
        producer.close()
    assert offsets == list(range(COUNT))
    group = f"g-{topic}" if release >= (0, 9) else None  # before 0.9 there were no groups in the broker
    settings = {"auto_offset_reset": "earliest", "enable_auto_commit": False, "consumer_timeout_ms": 20_000}
    consumer = KafkaConsumer(**common, **settings, group_id=group)
    partition = TopicPartition(topic, 0)
    try:
        if group is None:
            consumer.assign([partition])
            consumer.seek_to_beginning()
        else:
            consumer.subscribe([topic])
        got = [next(consumer) for _ in range(COUNT)]
        assert [(record.offset, record.key, record.value) for record in got] == [
            (index, b"k", value) for index, value in enumerate(sent)
        ]
        if group is not None:
            consumer.commit()
            assert consumer.committed(partition) == COUNT
    finally:
        consumer.close()
