"""Share groups over three brokers: groups, states and partitions each kept by another one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer, ShareConsumer
from confluent_kafka.admin import AdminClient, AlterConfigOpType, ConfigEntry, ConfigResource, NewTopic

from node.replicated import WAIT_S, Cluster, until
from tailrace.cluster.image import SHARE_GROUP_STATE_TOPIC

pytestmark = pytest.mark.slow

PARTITIONS = 6


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, 3) as started:
        yield started


def servers(cluster: Cluster) -> str:
    return ",".join(f"127.0.0.1:{port}" for port in cluster.ports.values())


def prepare(cluster: Cluster, group: str) -> None:
    """A topic over all brokers, its records, and a group that reads it from its start."""
    admin = AdminClient({"bootstrap.servers": servers(cluster), "log_level": 0})
    admin.create_topics([NewTopic("t", PARTITIONS, 3)])["t"].result(WAIT_S)
    reset = ConfigEntry("share.auto.offset.reset", "earliest", incremental_operation=AlterConfigOpType.SET)
    resource = ConfigResource(ConfigResource.Type.GROUP, group, incremental_configs=[reset])
    for answer in admin.incremental_alter_configs([resource]).values():
        answer.result(WAIT_S)
    producer = Producer({"bootstrap.servers": servers(cluster), "log_level": 0})
    for number in range(20 * PARTITIONS):
        producer.produce("t", b"%d" % number, partition=number % PARTITIONS)
    assert producer.flush(WAIT_S) == 0


def taken(cluster: Cluster, group: str, count: int, wait_s: float = WAIT_S) -> list[int]:
    """What one member is given and accepts: `count` records, or what comes in time."""
    consumer = ShareConsumer(
        {
            "bootstrap.servers": servers(cluster),
            "group.id": group,
            "share.acknowledgement.mode": "implicit",
            "log_level": 0,
        }
    )
    values: list[int] = []
    try:
        consumer.subscribe(["t"])
        deadline = time.monotonic() + wait_s
        while len(values) < count and time.monotonic() < deadline:
            values += [int(each.value()) for each in consumer.poll(0.3) if each.error() is None]
        consumer.commit_sync(WAIT_S)
    finally:
        consumer.close()
    return values


def test_states_are_kept_wherever_their_partition_is_led(cluster: Cluster) -> None:
    """Everything is delivered once; a member that comes later finds nothing, for its states say so."""
    prepare(cluster, "team")
    assert sorted(taken(cluster, "team", 20 * PARTITIONS)) == list(range(20 * PARTITIONS))
    image = cluster.server(1).services.metadata.image
    topic = image.topic(SHARE_GROUP_STATE_TOPIC)
    assert topic is not None
    kept_by = {each.leader for each in topic.partitions}
    assert kept_by == {1, 2, 3}, "so that most states are on another broker than their partition"
    assert taken(cluster, "team", 1, wait_s=3) == []


def test_states_outlive_the_broker_that_kept_them(cluster: Cluster) -> None:
    prepare(cluster, "team")
    assert len(taken(cluster, "team", 20 * PARTITIONS)) == 20 * PARTITIONS
    cluster.stop(1, clean=False)
    cluster.fence(1)
    topic = cluster.server(2).services.metadata.image.topic(SHARE_GROUP_STATE_TOPIC)
    until(lambda: topic is not None and all(each.leader in (2, 3) for each in topic.partitions))
    producer = Producer({"bootstrap.servers": servers(cluster), "log_level": 0})
    for number in range(PARTITIONS):
        producer.produce("t", b"%d" % (1000 + number), partition=number)
    assert producer.flush(WAIT_S) == 0
    assert sorted(taken(cluster, "team", PARTITIONS)) == [1000 + number for number in range(PARTITIONS)]
