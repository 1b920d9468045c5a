"""Consumers that read from a follower in their rack (KIP-392)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, TopicPartition
from tests.node.replicated import Cluster, until

from node.served import RawClient
from tailrace.base.errors import ErrorCode
from tailrace.base.types import TopicId
from tailrace.node.settings import RACK_AWARE_SELECTOR
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic, PartitionData

pytestmark = pytest.mark.slow

VERSION = 12


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, 3, {"broker.rack": "rack-%d", "replica.selector.class": RACK_AWARE_SELECTOR}) as made:
        made.create(2)
        for count in range(10):
            made.produce(b"%d" % count)
        yield made


def fetch(cluster: Cluster, node_id: int, offset: int, rack: str = "", version: int = VERSION) -> PartitionData:
    topics = [FetchTopic("t", TopicId(int=0), [FetchPartition(0, fetch_offset=offset, partition_max_bytes=1 << 20)])]
    request = FetchRequest(max_wait_ms=0, min_bytes=1, topics=topics, rack_id=rack)
    with RawClient(("127.0.0.1", cluster.ports[node_id])) as client:
        answer = client.ask(ApiKey.FETCH, version, request)
    found: PartitionData = answer.responses[0].partitions[0]
    return found


def test_the_leader_names_the_replica_in_the_rack_and_that_one_serves(cluster: Cluster) -> None:
    leader, follower = cluster.image().replicas
    other = next(each for each in (1, 2, 3) if each not in (leader, follower))
    named = fetch(cluster, leader, 0, f"rack-{follower}")
    assert (named.error_code, named.preferred_read_replica, named.records) == (0, follower, b"")
    for rack in ("", f"rack-{leader}", f"rack-{other}", "elsewhere"):
        served = fetch(cluster, leader, 0, rack)
        assert served.preferred_read_replica == -1 and served.records
    until(lambda: cluster.ends()[follower] == (10, 10))
    served = fetch(cluster, follower, 0, f"rack-{follower}")
    assert (served.error_code, served.high_watermark, served.preferred_read_replica) == (0, 10, -1)
    assert served.records == fetch(cluster, leader, 0).records
    assert fetch(cluster, follower, 10).error_code == 0
    assert fetch(cluster, follower, 11).error_code == ErrorCode.OFFSET_OUT_OF_RANGE
    assert fetch(cluster, follower, 0, version=10).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER
    assert fetch(cluster, other, 0).error_code == ErrorCode.NOT_LEADER_OR_FOLLOWER


def test_a_consumer_reads_from_its_rack_until_that_broker_is_gone(cluster: Cluster) -> None:
    leader, follower = cluster.image().replicas
    sources: set[int] = set()

    def on_stats(text: str) -> None:
        found: dict[str, Any] = json.loads(text)["topics"].get("t", {}).get("partitions", {})
        if "0" in found:
            sources.add(found["0"]["broker"])

    consumer = Consumer(
        {
            "bootstrap.servers": ",".join(f"127.0.0.1:{port}" for port in cluster.ports.values()),
            "group.id": "g",
            "client.rack": f"rack-{follower}",
            "statistics.interval.ms": 50,
            "stats_cb": on_stats,
            "topic.metadata.refresh.interval.ms": 200,
            "log_level": 0,
        }
    )
    try:
        consumer.assign([TopicPartition("t", 0, 0)])
        values: list[bytes | None] = []

        def read(count: int) -> bool:
            message = consumer.poll(0.1)
            if message is not None and message.error() is None:
                values.append(message.value())
            return len(values) >= count

        until(lambda: read(10))
        cluster.produce(b"10")
        until(lambda: read(11), "what comes is read there too")
        until(lambda: read(99) or follower in sources, "it reads from the follower")
        cluster.stop(follower, clean=False)
        cluster.fence(follower)
        cluster.produce(b"11", at=leader)
        until(lambda: read(12), "then from the leader")
        assert values == [b"%d" % count for count in range(12)]
    finally:
        consumer.close()
