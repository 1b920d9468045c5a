"""Partitions that are moved between brokers of one process, over real sockets and files."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest
from tests.node.replicated import Cluster, until

from node.served import RawClient
from tailrace.base.errors import ErrorCode
from tailrace.cluster.records import ResourceType
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.alter_partition_reassignments import (
    AlterPartitionReassignmentsRequest,
    ReassignablePartition,
    ReassignableTopic,
)
from tailrace.wire.messages.delete_topics import DeleteTopicsRequest
from tailrace.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tailrace.wire.messages.list_partition_reassignments import (
    ListPartitionReassignmentsRequest,
    OngoingPartitionReassignment,
)

pytestmark = pytest.mark.slow


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, 3) as made:
        yield made


def reassign(cluster: Cluster, replicas: Sequence[int] | None, topic: str = "t") -> int:
    """The error code of moving partition 0."""
    wish = ReassignablePartition(0, None if replicas is None else list(replicas))
    asked = AlterPartitionReassignmentsRequest(topics=[ReassignableTopic(topic, [wish])])
    with RawClient(("127.0.0.1", cluster.ports[next(iter(cluster.hosts))])) as client:
        answer = client.ask(ApiKey.ALTER_PARTITION_REASSIGNMENTS, 1, asked)
    code: int = answer.responses[0].partitions[0].error_code
    return code


def moving(cluster: Cluster) -> list[OngoingPartitionReassignment]:
    with RawClient(("127.0.0.1", cluster.ports[next(iter(cluster.hosts))])) as client:
        answer = client.ask(ApiKey.LIST_PARTITION_REASSIGNMENTS, 0, ListPartitionReassignmentsRequest())
    return [partition for topic in answer.topics for partition in topic.partitions]


def has_log(cluster: Cluster, node_id: int) -> bool:
    return (cluster.directory / str(node_id) / "t-0").exists()


def test_a_partition_moves_to_other_brokers_with_everything_in_it(cluster: Cluster) -> None:
    cluster.create(2)
    for count in range(20):
        cluster.produce(b"%d" % count)
    old = cluster.image().replicas
    added = next(each for each in (1, 2, 3) if each not in old)
    assert reassign(cluster, [added, old[1]]) == 0
    until(lambda: not moving(cluster), "it has arrived")
    until(lambda: cluster.image().leader in (added, old[1]))
    assert cluster.image().replicas == (added, old[1])
    cluster.produce_until_led(b"20")
    assert cluster.read() == [b"%d" % count for count in range(21)]
    until(lambda: not has_log(cluster, old[0]), "who holds it no more has deleted it")
    until(lambda: cluster.ends() == dict.fromkeys((added, old[1]), (21, 21)))
    assert cluster.log_bytes(added) == cluster.log_bytes(old[1])


def test_one_replica_becomes_three_and_one_again(cluster: Cluster) -> None:
    cluster.create(1)
    cluster.produce(b"a")
    (first,) = cluster.image().replicas
    others = [each for each in (1, 2, 3) if each != first]
    assert reassign(cluster, [first, *others]) == 0
    until(lambda: len(cluster.image().isr) == 3 and not moving(cluster))
    cluster.produce(b"b")
    until(lambda: cluster.ends() == dict.fromkeys((1, 2, 3), (2, 2)))
    assert reassign(cluster, [others[0]]) == 0
    until(lambda: cluster.image().leader == others[0])
    cluster.produce_until_led(b"c")
    assert cluster.read() == [b"a", b"b", b"c"]
    until(lambda: not has_log(cluster, first) and not has_log(cluster, others[1]))


def test_a_move_that_cannot_end_is_listed_and_taken_back(cluster: Cluster) -> None:
    cluster.create(2)
    cluster.produce(b"a")
    old = cluster.image().replicas
    added = next(each for each in (1, 2, 3) if each not in old)
    for node_id in old:
        host, faults = cluster.hosts[node_id], cluster.server(node_id).faults
        host.call(lambda it=faults: it.add_error(ApiKey.FETCH, ErrorCode.UNKNOWN_SERVER_ERROR, 10_000))
    assert reassign(cluster, [added]) == 0
    time.sleep(0.3)
    (listed,) = moving(cluster)
    assert (listed.replicas, listed.adding_replicas) == ([added, *sorted(old)], [added])
    assert listed.removing_replicas == sorted(old)
    assert reassign(cluster, None) == 0
    assert reassign(cluster, None) == ErrorCode.NO_REASSIGNMENT_IN_PROGRESS
    for node_id in old:
        cluster.hosts[node_id].call(cluster.server(node_id).faults.clear)
    assert set(cluster.image().replicas) == set(old)
    until(lambda: not has_log(cluster, added), "what was copied is deleted")
    until(lambda: set(cluster.image().isr) == set(old))
    assert cluster.read() == [b"a"]


def test_a_broker_that_was_away_while_its_replica_moved_serves_it_no_more(cluster: Cluster) -> None:
    cluster.create(2)
    cluster.produce(b"a")
    leader, gone = cluster.image().replicas
    added = next(each for each in (1, 2, 3) if each not in (leader, gone))
    cluster.stop(gone)
    cluster.fence(gone)
    assert reassign(cluster, [leader, added]) == 0
    until(lambda: cluster.image().isr == (leader, added) and not moving(cluster))
    cluster.start(gone)
    cluster.unfence(gone)
    assert set(cluster.replicas()) == {leader, added}
    assert not has_log(cluster, gone), "the metadata told it to delete that"
    assert reassign(cluster, [leader, gone]) == 0
    until(lambda: cluster.image().isr == (leader, gone) and not moving(cluster), "it begins anew")
    cluster.produce(b"b")
    until(lambda: cluster.ends() == dict.fromkeys((leader, gone), (2, 2)))
    assert cluster.log_bytes(leader) == cluster.log_bytes(gone)


def test_a_topic_deleted_while_a_broker_was_away_is_deleted_there_too_and_its_namesake_is_not(
    cluster: Cluster,
) -> None:
    cluster.create(3)
    cluster.produce(b"old")
    until(lambda: cluster.ends() == dict.fromkeys((1, 2, 3), (1, 1)))
    cluster.stop(3)
    cluster.fence(3)
    asked = DeleteTopicsRequest(topic_names=["t"], timeout_ms=10_000)
    with RawClient(("127.0.0.1", cluster.ports[1])) as client:
        assert client.ask(ApiKey.DELETE_TOPICS, 5, asked).responses[0].error_code == 0
    assert has_log(cluster, 3)
    cluster.start(3)
    assert not has_log(cluster, 3)
    cluster.unfence(3)
    cluster.create(3)
    cluster.produce(b"new")
    until(lambda: cluster.ends() == dict.fromkeys((1, 2, 3), (1, 1)))
    cluster.stop(3)
    cluster.fence(3)
    with RawClient(("127.0.0.1", cluster.ports[1])) as client:
        assert client.ask(ApiKey.DELETE_TOPICS, 5, asked).responses[0].error_code == 0
    cluster.create(2)
    cluster.produce(b"newest")
    cluster.start(3)
    cluster.unfence(3)
    assert reassign(cluster, [1, 2, 3]) == 0
    until(lambda: len(cluster.image().isr) == 3)
    until(lambda: cluster.ends() == dict.fromkeys((1, 2, 3), (1, 1)))
    assert cluster.read() == [b"newest"]
    assert cluster.log_bytes(1) == cluster.log_bytes(2) == cluster.log_bytes(3)


@pytest.mark.parametrize("side", ["leader", "follower"])
def test_a_throttled_move_takes_its_time(tmp_path: Path, side: str) -> None:
    """100 kB/s: a window of two samples lets through a second's worth at once, and then that in each second."""
    settings = {
        "replication.quota.window.num": "2",
        "replica.fetch.max.bytes": "20000",
        "replica.fetch.response.max.bytes": "20000",
    }
    with Cluster(tmp_path, 3, settings) as cluster:
        cluster.create(1)
        for _ in range(15):
            cluster.produce(b"x" * 20_000)
        (first,) = cluster.image().replicas
        added = first % 3 + 1
        alter(cluster, ResourceType.TOPIC, "t", f"{side}.replication.throttled.replicas", "*")
        alter(cluster, ResourceType.BROKER, "", f"{side}.replication.throttled.rate", "100000")
        servers = [cluster.server(each) for each in cluster.hosts]
        rate = f"{side}.replication.throttled.rate"
        until(lambda: all(server.services.settings.integer(rate) == 100_000 for server in servers))
        started = time.monotonic()
        assert reassign(cluster, [first, added]) == 0
        until(lambda: set(cluster.image().isr) == {first, added})
        assert time.monotonic() - started > 1.0, "300 kB"
        cluster.produce(b"y" * 20_000)
        cluster.produce(b"y" * 20_000)
        assert reassign(cluster, [added]) == 0, "who is in sync is not held back"
        until(lambda: cluster.image().replicas == (added,))


def alter(cluster: Cluster, kind: ResourceType, resource: str, name: str, value: str) -> None:
    wanted = [AlterConfigsResource(kind, resource, [AlterableConfig(name, config_operation=0, value=value)])]
    asked = IncrementalAlterConfigsRequest(wanted)
    with RawClient(("127.0.0.1", cluster.ports[next(iter(cluster.hosts))])) as client:
        answer = client.ask(ApiKey.INCREMENTAL_ALTER_CONFIGS, 1, asked)
    assert answer.responses[0].error_code == 0
