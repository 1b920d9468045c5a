"""A group's coordinator moves, and the one before lives on: each client finds what its group has committed.

aiokafka looks at the errors of partitions only, and takes an answer without any for a group that has committed nothing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import aiokafka
import confluent_kafka
import kafka
import pytest

from node.replicated import WAIT_S, Cluster, until

GROUP = "g"
OFFSET = 2


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, 3) as started:
        started.create(3)
        for count in range(5):
            started.produce_until_led(b"%d" % count)
        yield started


def bootstrap(cluster: Cluster) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in cluster.ports.values())


def move(cluster: Cluster) -> None:
    """Have another broker lead the offsets, while the one before goes on answering."""
    first = cluster.image("__consumer_offsets").leader
    until(lambda: len(cluster.image("__consumer_offsets").isr) == 3, "in sync")
    cluster.fence(first)
    until(lambda: cluster.image("__consumer_offsets").leader not in (first, -1), "led by another")


def test_aiokafka(cluster: Cluster) -> None:
    partition = aiokafka.TopicPartition("t", 0)

    async def run() -> tuple[object, object]:
        consumer = aiokafka.AIOKafkaConsumer(
            bootstrap_servers=bootstrap(cluster), group_id=GROUP, enable_auto_commit=False
        )
        consumer.assign([partition])
        await consumer.start()
        try:
            await consumer.commit({partition: OFFSET})
            before = await consumer.committed(partition)
            await asyncio.to_thread(move, cluster)
            return before, await consumer.committed(partition)
        finally:
            await consumer.stop()

    assert asyncio.run(asyncio.wait_for(run(), WAIT_S)) == (OFFSET, OFFSET)


def test_kafka_python(cluster: Cluster) -> None:
    partition = kafka.TopicPartition("t", 0)
    consumer = kafka.KafkaConsumer(bootstrap_servers=bootstrap(cluster), group_id=GROUP, enable_auto_commit=False)
    with closing(consumer):
        consumer.assign([partition])
        consumer.commit({partition: kafka.OffsetAndMetadata(OFFSET, "", -1)})
        assert consumer.committed(partition) == OFFSET
        move(cluster)
        assert consumer.committed(partition) == OFFSET


def test_librdkafka(cluster: Cluster) -> None:
    asked = confluent_kafka.TopicPartition("t", 0, OFFSET)
    consumer = confluent_kafka.Consumer({"bootstrap.servers": bootstrap(cluster), "group.id": GROUP})

    def committed() -> int | None:
        """None while it says that it must look for the coordinator; never that nothing were committed."""
        try:
            (found,) = consumer.committed([asked], WAIT_S)
        except confluent_kafka.KafkaException:
            return None
        assert found.offset == OFFSET
        return OFFSET

    with closing(consumer):
        consumer.commit(offsets=[asked], asynchronous=False)
        assert committed() == OFFSET
        move(cluster)
        until(lambda: committed() == OFFSET, "found where the group is kept now")
