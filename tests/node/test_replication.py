"""Three brokers over real sockets and files: what replication promises."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import KafkaException, Message, Producer

from node.replicated import Cluster, until
from node.served import RawClient
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.records import ResourceType
from tailrace.embedded.admin import create_topic
from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from tailrace.wire.messages.fetch import FetchPartition, FetchRequest, FetchTopic
from tailrace.wire.messages.find_coordinator import FindCoordinatorRequest
from tailrace.wire.messages.incremental_alter_configs import (
    AlterableConfig,
    AlterConfigsResource,
    IncrementalAlterConfigsRequest,
)
from tailrace.wire.messages.offset_commit import (
    OffsetCommitRequest,
    OffsetCommitRequestPartition,
    OffsetCommitRequestTopic,
)
from tailrace.wire.messages.offset_fetch import OffsetFetchRequest, OffsetFetchRequestTopic
from tailrace.wire.messages.produce import PartitionProduceData, ProduceRequest, TopicProduceData


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    with Cluster(tmp_path, 3) as started:
        yield started


def test_every_replica_has_every_committed_record_byte_by_byte(cluster: Cluster) -> None:
    cluster.create(3, min_isr=2)
    for count in range(20):
        assert cluster.produce(b"%d" % count) == count
    assert cluster.read() == [b"%d" % count for count in range(20)]
    until(lambda: cluster.ends() == dict.fromkeys((1, 2, 3), (20, 20)), "followers know what is committed")
    assert cluster.log_bytes(1) == cluster.log_bytes(2) == cluster.log_bytes(3) != b""


def test_a_leader_that_is_killed_is_replaced_and_nothing_is_lost(cluster: Cluster) -> None:
    cluster.create(3, min_isr=2)
    for count in range(5):
        cluster.produce(b"%d" % count)
    killed = cluster.image().leader
    cluster.stop(killed, clean=False)
    cluster.fence(killed)
    until(lambda: cluster.image().leader in cluster.hosts)
    for count in range(5, 10):
        cluster.produce_until_led(b"%d" % count)
    cluster.start(killed)
    cluster.unfence(killed)
    until(lambda: len(cluster.image().isr) == 3, "the killed one is in sync again")
    assert cluster.read() == [b"%d" % count for count in range(10)]
    until(lambda: cluster.ends() == dict.fromkeys((1, 2, 3), (10, 10)))
    assert cluster.log_bytes(1) == cluster.log_bytes(2) == cluster.log_bytes(3)


def test_too_few_in_sync_refuse_writes_and_serve_reads(cluster: Cluster) -> None:
    cluster.create(3, min_isr=2)
    cluster.produce(b"kept")
    leader = cluster.image().leader
    for node_id in [each for each in (1, 2, 3) if each != leader]:
        cluster.stop(node_id, clean=False)
        cluster.fence(node_id)
    until(lambda: cluster.image().isr == (leader,))
    with pytest.raises(KafkaError) as refused:
        cluster.produce(b"refused")
    assert refused.value.code is ErrorCode.NOT_ENOUGH_REPLICAS
    assert cluster.read() == [b"kept"]


def test_how_many_must_be_in_sync_changes_while_the_topic_is_written(cluster: Cluster) -> None:
    cluster.create(3, min_isr=3)
    cluster.produce(b"kept")
    leader = cluster.image().leader
    stopped = next(each for each in (1, 2, 3) if each != leader)
    cluster.stop(stopped, clean=False)
    cluster.fence(stopped)
    until(lambda: len(cluster.image().isr) == 2)
    with pytest.raises(KafkaError) as refused:
        cluster.produce(b"refused")
    assert refused.value.code is ErrorCode.NOT_ENOUGH_REPLICAS
    settings = [AlterableConfig("min.insync.replicas", config_operation=0, value="2")]
    asked = IncrementalAlterConfigsRequest([AlterConfigsResource(ResourceType.TOPIC, "t", settings)])
    with RawClient(("127.0.0.1", cluster.ports[leader])) as client:
        answer = client.ask(ApiKey.INCREMENTAL_ALTER_CONFIGS, 1, asked)
    assert answer.responses[0].error_code == 0
    assert cluster.produce(b"taken") == 1
    assert cluster.read() == [b"kept", b"taken"]


def test_a_follower_that_stalls_leaves_the_in_sync_ones_and_comes_back(cluster: Cluster) -> None:
    """The leader sees it by itself: nobody has fenced the follower."""
    cluster.create(2)
    cluster.produce(b"a")
    leader, follower = cluster.image().replicas
    host, faults = cluster.hosts[leader], cluster.server(leader).faults
    host.call(lambda: faults.add_error(ApiKey.FETCH, ErrorCode.UNKNOWN_SERVER_ERROR, 10_000))
    started = time.monotonic()
    cluster.produce(b"b")
    assert time.monotonic() - started > 0.3, "it was committed without the follower, who was in sync"
    until(lambda: cluster.image().isr == (leader,))
    host.call(faults.clear)
    until(lambda: set(cluster.image().isr) == {leader, follower}, "it is in sync again")
    until(lambda: cluster.ends()[follower] == (2, 2))


def test_records_are_deleted_when_the_followers_have_deleted_them(cluster: Cluster) -> None:
    cluster.create(3)
    for value in (b"a", b"b", b"c"):
        cluster.produce(value)
    leader = cluster.image().leader
    with RawClient(("127.0.0.1", cluster.ports[leader])) as client:

        def delete(offset: int, timeout_ms: int) -> tuple[int, int]:
            topic = DeleteRecordsTopic("t", [DeleteRecordsPartition(0, offset)])
            response = client.ask(ApiKey.DELETE_RECORDS, 2, DeleteRecordsRequest([topic], timeout_ms))
            (result,) = response.topics[0].partitions
            return result.low_watermark, result.error_code

        assert delete(2, 10_000) == (2, 0)
        assert cluster.starts() == {1: 2, 2: 2, 3: 2}
        cluster.hosts[leader].call(
            lambda: cluster.server(leader).faults.add_error(ApiKey.FETCH, ErrorCode.UNKNOWN_SERVER_ERROR, 10_000)
        )
        assert delete(3, 300) == (-1, ErrorCode.REQUEST_TIMED_OUT)
        cluster.hosts[leader].call(cluster.server(leader).faults.clear)
        until(lambda: cluster.starts() == {1: 3, 2: 3, 3: 3}, "deleted all the same")


def test_who_does_not_lead_says_so(cluster: Cluster) -> None:
    cluster.create(2)
    leader, follower = cluster.image().replicas
    for node_id in (follower, 6 - leader - follower):
        with pytest.raises(KafkaError) as refused:
            cluster.produce(b"v", at=node_id)
        assert refused.value.code is ErrorCode.NOT_LEADER_OR_FOLLOWER
    cluster.ask(1, lambda it: create_topic(it, "one", 1, {}))
    cluster.produce(b"v", "one")
    with RawClient(("127.0.0.1", cluster.ports[6 - leader - follower])) as client:
        batch = build_batch([Record(0, 1, None, b"v")])
        wanted = [TopicProduceData("t", partition_data=[PartitionProduceData(0, batch)])]
        produced = client.ask(ApiKey.PRODUCE, 12, ProduceRequest(acks=-1, timeout_ms=1000, topic_data=wanted))
        topic_id = cluster.server(follower).services.metadata.topic_id("t")
        asked = FetchRequest(max_wait_ms=0, topics=[FetchTopic(topic_id=topic_id, partitions=[FetchPartition(0)])])
        fetched = client.ask(ApiKey.FETCH, 17, asked)
    for hint, endpoints in (
        (produced.responses[0].partition_responses[0].current_leader, produced.node_endpoints),
        (fetched.responses[0].partitions[0].current_leader, fetched.node_endpoints),
    ):
        assert (hint.leader_id, hint.leader_epoch) == (leader, 0), "KIP-951"
        assert [(each.node_id, each.port) for each in endpoints] == [(leader, cluster.ports[leader])]


def test_a_clean_restart_of_every_broker_in_turn_loses_nothing(cluster: Cluster) -> None:
    cluster.create(3, min_isr=2)
    written = 0
    for node_id in (1, 2, 3):
        cluster.produce_until_led(b"%d" % written)
        cluster.fence(node_id)
        cluster.stop(node_id)
        cluster.produce_until_led(b"%d" % (written + 1))
        written += 2
        cluster.start(node_id)
        cluster.unfence(node_id)
        until(lambda: len(cluster.image().isr) == 3, "in sync again")
    assert cluster.read() == [b"%d" % count for count in range(written)]


def coordinator(cluster: Cluster, asked: int) -> int:
    """Where broker `asked` says that group `g` is kept; -1: nowhere now."""
    with RawClient(("127.0.0.1", cluster.ports[asked])) as client:
        response = client.ask(ApiKey.FIND_COORDINATOR, 3, FindCoordinatorRequest("g", 0))
    return int(response.node_id)


def commit_offset(cluster: Cluster, broker: int, offset: int) -> ErrorCode:
    partition = OffsetCommitRequestPartition(0, committed_offset=offset)
    request = OffsetCommitRequest("g", topics=[OffsetCommitRequestTopic("t", partitions=[partition])])
    with RawClient(("127.0.0.1", cluster.ports[broker])) as client:
        response = client.ask(ApiKey.OFFSET_COMMIT, 8, request)
    return ErrorCode(response.topics[0].partitions[0].error_code)


def committed_offset(cluster: Cluster, broker: int) -> tuple[ErrorCode, int]:
    request = OffsetFetchRequest("g", topics=[OffsetFetchRequestTopic("t", [0])])
    with RawClient(("127.0.0.1", cluster.ports[broker])) as client:
        response = client.ask(ApiKey.OFFSET_FETCH, 7, request)
    return ErrorCode(response.error_code), response.topics[0].partitions[0].committed_offset if response.topics else -1


def test_a_group_is_kept_by_whoever_leads_its_partition(cluster: Cluster) -> None:
    cluster.create(3)
    until(lambda: coordinator(cluster, 1) > 0)
    first = coordinator(cluster, 1)
    assert {coordinator(cluster, each) for each in (2, 3)} == {first}
    until(lambda: commit_offset(cluster, first, 5) is ErrorCode.NONE, "the topic is led")
    for offset in range(6, 20):
        assert commit_offset(cluster, first, offset) is ErrorCode.NONE
    other = first % 3 + 1
    assert commit_offset(cluster, other, 99) is ErrorCode.NOT_COORDINATOR
    cluster.stop(first, clean=False)
    cluster.fence(first)
    until(lambda: coordinator(cluster, next(iter(cluster.hosts))) not in (first, -1))
    second = coordinator(cluster, next(iter(cluster.hosts)))
    until(lambda: committed_offset(cluster, second) == (ErrorCode.NONE, 19), "it has read what the first one wrote")
    assert commit_offset(cluster, second, 20) is ErrorCode.NONE
    cluster.start(first)
    cluster.unfence(first)
    until(lambda: len(cluster.image("__consumer_offsets").isr) == 3)
    assert commit_offset(cluster, first, 99) is ErrorCode.NOT_COORDINATOR
    assert committed_offset(cluster, second) == (ErrorCode.NONE, 20)


@pytest.mark.slow
def test_an_idempotent_producer_rides_through_the_loss_of_two_leaders(cluster: Cluster) -> None:
    """Every acknowledged record is read once, in order, and the survivors are identical."""
    cluster.create(3, min_isr=2)
    servers = ",".join(f"127.0.0.1:{port}" for port in cluster.ports.values())
    producer = Producer(
        {
            "bootstrap.servers": servers,
            "enable.idempotence": True,
            "linger.ms": 2,
            "batch.num.messages": 20,
            "topic.metadata.refresh.interval.ms": 200,
            "log_level": 0,
        }
    )
    acknowledged: list[tuple[int, bytes]] = []
    failed: list[str] = []

    def told(error: KafkaException | None, message: Message) -> None:
        if error is not None:
            failed.append(str(error))
        else:
            acknowledged.append((message.offset(), message.value()))

    def write(count: int) -> None:
        for _ in range(count):
            producer.produce("t", b"%d" % next(numbers), partition=0, on_delivery=told)
            producer.poll(0.002)

    numbers = itertools.count()
    for _ in range(2):
        write(200)
        killed = cluster.image().leader
        cluster.stop(killed, clean=False)
        write(50)
        cluster.fence(killed)
        write(200)
        cluster.start(killed)
        cluster.unfence(killed)
        write(50)
        until(lambda: len(cluster.image().isr) == 3, "the killed one is in sync again")
    assert producer.flush(20) == 0
    assert failed == []
    values = [b"%d" % number for number in range(next(numbers))]
    assert [value for _, value in sorted(acknowledged)] == values
    assert cluster.read() == values
    until(lambda: cluster.ends() == dict.fromkeys((1, 2, 3), (len(values), len(values))))
    assert cluster.log_bytes(1) == cluster.log_bytes(2) == cluster.log_bytes(3)
