"""CreateTopics, DeleteTopics, CreatePartitions, DeleteRecords, Metadata and DescribeTopicPartitions over a real log."""

from __future__ import annotations

from uuid import UUID

import pytest
from broker_bench import Bench, only

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import ZERO_TOPIC_ID, TopicPartition
from tailrace.broker.handlers import (
    create_partitions,
    create_topics,
    delete_records,
    delete_topics,
    describe_topic_partitions,
    metadata,
)
from tailrace.cluster.topic_configs import TOPIC_CONFIGS
from tailrace.records.builder import BatchBuilder
from tailrace.wire.messages.create_partitions import CreatePartitionsRequest, CreatePartitionsTopic
from tailrace.wire.messages.create_topics import (
    CreatableReplicaAssignment,
    CreatableTopic,
    CreatableTopicConfig,
    CreatableTopicResult,
    CreateTopicsRequest,
)
from tailrace.wire.messages.delete_records import DeleteRecordsPartition, DeleteRecordsRequest, DeleteRecordsTopic
from tailrace.wire.messages.delete_topics import DeleteTopicsRequest, DeleteTopicState
from tailrace.wire.messages.describe_topic_partitions import (
    Cursor,
    DescribeTopicPartitionsRequest,
    DescribeTopicPartitionsResponse,
    TopicRequest,
)
from tailrace.wire.messages.metadata import MetadataRequest, MetadataRequestTopic, MetadataResponse


def create(bench: Bench, *topics: CreatableTopic, validate_only: bool = False) -> dict[str, CreatableTopicResult]:
    request = CreateTopicsRequest(list(topics), validate_only=validate_only)
    response = create_topics.handle(bench.services, bench.context(19, 7), request)
    assert len({result.name for result in response.topics}) == len(response.topics)
    return {result.name: result for result in response.topics}


def ask(bench: Bench, version: int, names: list[str] | None, allow: bool = True, ops: bool = False) -> MetadataResponse:
    topics = None if names is None else [MetadataRequestTopic(name=name) for name in names]
    request = MetadataRequest(topics, allow_auto_topic_creation=allow, include_topic_authorized_operations=ops)
    return metadata.handle(bench.services, bench.context(3, version), request)


def append(bench: Bench, topic: str, count: int) -> None:
    builder = BatchBuilder()
    for number in range(count):
        builder.append(bench.clock.wall_ms(), None, b"%d" % number)
    bench.partitions.of(topic, 0).append(memoryview(builder.build()))


# -- CreateTopics ------------------------------------------------------------------------------------------------------


def test_a_created_topic_is_led_at_once_and_answers_with_its_settings(bench: Bench) -> None:
    result = create(bench, CreatableTopic("a", 3, 1, configs=[CreatableTopicConfig("retention.ms", "5")]))["a"]
    assert (result.error_code, result.error_message) == (0, None)
    assert (result.num_partitions, result.replication_factor) == (3, 1)
    assert result.topic_id == bench.partitions.of("a", 2).topic_id
    assert result.configs is not None
    shown = {config.name: config for config in result.configs}
    assert len(shown) == len(TOPIC_CONFIGS)
    assert (shown["retention.ms"].value, shown["retention.ms"].config_source) == ("5", 1)
    assert (shown["segment.bytes"].value, shown["segment.bytes"].config_source) == ("1073741824", 5)
    assert bench.partitions.of("a", 0).log.config.retention_ms == 5


def test_validating_only_creates_nothing(bench: Bench) -> None:
    result = create(bench, CreatableTopic("a", 3, 1), validate_only=True)["a"]
    assert (result.error_code, result.num_partitions) == (0, 3)
    assert bench.metadata.image.topic("a") is None


def test_good_and_bad_topics_of_one_request_each_get_their_due(bench: Bench) -> None:
    results = create(
        bench,
        CreatableTopic("good", 1, 1),
        CreatableTopic("twice", 1, 1),
        CreatableTopic("twice", 2, 1),
        CreatableTopic("bad name", 1, 1),
        CreatableTopic("wrong", 1, 1, configs=[CreatableTopicConfig("foo", "1")]),
        CreatableTopic("hole", -1, -1, [CreatableReplicaAssignment(0, [1]), CreatableReplicaAssignment(0, [1])]),
    )
    assert {name: result.error_code for name, result in results.items()} == {
        "good": 0,
        "twice": ErrorCode.INVALID_REQUEST,
        "bad name": ErrorCode.INVALID_TOPIC_EXCEPTION,
        "wrong": ErrorCode.INVALID_CONFIG,
        "hole": ErrorCode.INVALID_REPLICA_ASSIGNMENT,
    }
    assert results["twice"].error_message == "Duplicate topic name."
    assert list(bench.metadata.image.topics) == ["good"]


@pytest.mark.parametrize("version", range(8))
def test_every_version_of_the_answer_can_be_sent(bench: Bench, version: int) -> None:
    request = CreateTopicsRequest([CreatableTopic("a", 1, 1), CreatableTopic("bad name", 1, 1)])
    response = create_topics.handle(bench.services, bench.context(19, version), request)
    out = bytearray()
    response.encode(out, version)
    again, end = type(response).decode(memoryview(out), 0, version)
    assert end == len(out)
    assert [topic.error_code for topic in again.topics] == [0, ErrorCode.INVALID_TOPIC_EXCEPTION]


# -- DeleteTopics ------------------------------------------------------------------------------------------------------


def test_topics_are_deleted_by_name_and_by_id(bench: Bench) -> None:
    bench.topic("a")
    topic_id = bench.topic("b")[0].topic_id
    request = DeleteTopicsRequest([DeleteTopicState("a"), DeleteTopicState(None, topic_id)])
    response = delete_topics.handle(bench.services, bench.context(20, 6), request)
    assert [(r.name, r.error_code) for r in response.responses] == [("a", 0), ("b", 0)]
    assert bench.metadata.image.topics == {}
    assert bench.partitions.get("a", 0) is None
    assert bench.logs.get(TopicPartition("b", 0)) is None


def test_deletions_that_are_refused(bench: Bench) -> None:
    topic_id = bench.topic("a")[0].topic_id
    bench.topic("b")
    asked = [
        (DeleteTopicState("nope"), ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        (DeleteTopicState(None, UUID(int=5)), ErrorCode.UNKNOWN_TOPIC_ID),
        (DeleteTopicState(None, ZERO_TOPIC_ID), ErrorCode.INVALID_REQUEST),
        (DeleteTopicState("b", UUID(int=5)), ErrorCode.INVALID_REQUEST),
        (DeleteTopicState("a"), ErrorCode.INVALID_REQUEST),
    ]
    request = DeleteTopicsRequest([state for state, _ in asked] + [DeleteTopicState(None, topic_id)])
    response = delete_topics.handle(bench.services, bench.context(20, 6), request)
    assert [r.error_code for r in response.responses] == [code for _, code in asked]
    assert sorted(bench.metadata.image.topics) == ["a", "b"]


def test_old_versions_name_topics(bench: Bench) -> None:
    bench.topic("a")
    request = DeleteTopicsRequest(topic_names=["a", "nope"])
    response = delete_topics.handle(bench.services, bench.context(20, 1), request)
    assert [(r.name, r.error_code) for r in response.responses] == [("a", 0), ("nope", 3)]


def test_deletion_can_be_switched_off(bench: Bench) -> None:
    bench.services.settings.set_dynamic({"delete.topic.enable": "false"}, {})
    for version, code in ((1, ErrorCode.INVALID_REQUEST), (6, ErrorCode.TOPIC_DELETION_DISABLED)):
        with pytest.raises(KafkaError) as refused:
            delete_topics.handle(bench.services, bench.context(20, version), DeleteTopicsRequest([]))
        assert refused.value.code == code


# -- CreatePartitions --------------------------------------------------------------------------------------------------


def test_every_topic_has_a_result_and_grown_ones_are_led(bench: Bench) -> None:
    bench.topic("a")
    bench.topic("b")
    topics = [("a", 3), ("nope", 3), ("b", 1), ("twice", 2), ("twice", 3)]
    request = CreatePartitionsRequest([CreatePartitionsTopic(name, count, None) for name, count in topics])
    response = create_partitions.handle(bench.services, bench.context(37, 3), request)
    assert {result.name: result.error_code for result in response.results} == {
        "a": 0,
        "nope": ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
        "b": ErrorCode.INVALID_PARTITIONS,
        "twice": ErrorCode.INVALID_REQUEST,
    }
    assert bench.partitions.of("a", 2).leader_epoch == 0


def test_growth_may_be_validated_only(bench: Bench) -> None:
    bench.topic("a")
    request = CreatePartitionsRequest([CreatePartitionsTopic("a", 3, None)], validate_only=True)
    assert only(create_partitions.handle(bench.services, bench.context(37, 3), request).results).error_code == 0
    assert bench.partitions.get("a", 1) is None


# -- DeleteRecords -----------------------------------------------------------------------------------------------------


def test_records_are_deleted_up_to_an_offset_or_to_the_high_watermark(bench: Bench) -> None:
    bench.topic("a")
    append(bench, "a", 10)
    for offset, low_watermark in ((4, 4), (2, 4), (-1, 10)):
        request = DeleteRecordsRequest([DeleteRecordsTopic("a", [DeleteRecordsPartition(0, offset)])])
        result = only(only(delete_records.handle(bench.services, bench.context(21, 2), request).topics).partitions)
        assert (result.error_code, result.low_watermark) == (0, low_watermark)
    assert bench.partitions.of("a", 0).log_start_offset == 10


def test_deletions_of_records_that_are_refused(bench: Bench) -> None:
    bench.topic("a")
    bench.topic("compacted", cleanup_policy="compact")
    bench.topic("__consumer_offsets")
    asked = [
        ("a", 0, 1, ErrorCode.OFFSET_OUT_OF_RANGE),
        ("a", 1, 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("nope", 0, 0, ErrorCode.UNKNOWN_TOPIC_OR_PARTITION),
        ("compacted", 0, 0, ErrorCode.POLICY_VIOLATION),
        ("__consumer_offsets", 0, 0, ErrorCode.INVALID_TOPIC_EXCEPTION),
    ]
    topics = [DeleteRecordsTopic(name, [DeleteRecordsPartition(index, offset)]) for name, index, offset, _ in asked]
    topics.append(DeleteRecordsTopic("a", [DeleteRecordsPartition(0, -7)]))
    response = delete_records.handle(bench.services, bench.context(21, 2), DeleteRecordsRequest(topics[:5]))
    found = {
        (t.name, p.partition_index): (p.error_code, p.low_watermark) for t in response.topics for p in t.partitions
    }
    assert found == {(name, index): (code, -1) for name, index, _, code in asked}
    response = delete_records.handle(bench.services, bench.context(21, 2), DeleteRecordsRequest(topics[5:]))
    assert only(only(response.topics).partitions).error_code == ErrorCode.OFFSET_OUT_OF_RANGE


# -- Metadata ----------------------------------------------------------------------------------------------------------


def test_all_topics_or_none_depends_on_the_version(bench: Bench) -> None:
    bench.topic("a")
    bench.topic("b", 2)
    for version, names, found in ((0, [], 2), (1, [], 0), (1, None, 2), (13, None, 2), (12, [], 0)):
        assert len(ask(bench, version, names).topics) == found, (version, names)


def test_the_answer_says_who_leads_and_where_the_client_dialled(bench: Bench) -> None:
    bench.topic("b", 2)
    response = ask(bench, 12, ["b"])
    broker = only(response.brokers)
    assert (broker.node_id, broker.host, broker.port) == (1, "10.0.0.1", 9092)
    assert (response.controller_id, response.cluster_id) == (1, bench.metadata.image.cluster_id)
    topic = only(response.topics)
    assert [(p.partition_index, p.leader_id, p.leader_epoch, p.isr_nodes) for p in topic.partitions] == [
        (0, 1, 0, [1]),
        (1, 1, 0, [1]),
    ]


def test_a_missing_topic_is_created_in_the_answer_when_everybody_allows_it(bench: Bench) -> None:
    topic = only(ask(bench, 12, ["new"]).topics)
    assert (topic.error_code, len(topic.partitions)) == (0, 1)
    assert bench.partitions.get("new", 0) is not None
    assert only(ask(bench, 12, ["other"], allow=False).topics).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert only(ask(bench, 3, ["old"], allow=False).topics).error_code == 0, "before v4 a client cannot say no"
    bench.services.settings.set_dynamic({"auto.create.topics.enable": "false"}, {})
    assert only(ask(bench, 12, ["other"]).topics).error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


def test_the_offsets_topic_is_created_as_coordinators_need_it(bench: Bench) -> None:
    topic = only(ask(bench, 12, ["__consumer_offsets"]).topics)
    assert topic.is_internal
    assert len(topic.partitions) == 4
    assert bench.metadata.topic_configs("__consumer_offsets")["cleanup.policy"] == ("compact",)


def test_illegal_names_and_unknown_ids(bench: Bench) -> None:
    for name in ("", "bad name", "a" * 250):
        assert only(ask(bench, 12, [name]).topics).error_code == ErrorCode.INVALID_TOPIC_EXCEPTION
    topic_id = bench.topic("a")[0].topic_id
    topics = [MetadataRequestTopic(topic_id, None), MetadataRequestTopic(UUID(int=9), None)]
    response = metadata.handle(bench.services, bench.context(3, 12), MetadataRequest(topics))
    assert [(t.name, t.error_code) for t in response.topics] == [("a", 0), (None, ErrorCode.UNKNOWN_TOPIC_ID)]
    with pytest.raises(KafkaError) as refused:
        metadata.handle(bench.services, bench.context(3, 11), MetadataRequest(topics))
    assert refused.value.code == ErrorCode.INVALID_REQUEST


def test_a_topic_asked_twice_is_answered_once_and_unknown_ones_come_last(bench: Bench) -> None:
    bench.topic("a")
    response = ask(bench, 12, ["nope", "a", "nope", "a"], allow=False, ops=True)
    assert [topic.name for topic in response.topics] == ["a", "nope"]
    assert response.topics[0].topic_authorized_operations == 3576
    assert ask(bench, 12, ["a"]).topics[0].topic_authorized_operations == -(2**31)


# -- DescribeTopicPartitions -------------------------------------------------------------------------------------------


def page(bench: Bench, names: list[str], limit: int, cursor: Cursor | None = None) -> DescribeTopicPartitionsResponse:
    request = DescribeTopicPartitionsRequest([TopicRequest(name) for name in names], limit, cursor)
    return describe_topic_partitions.handle(bench.services, bench.context(75, 0), request)


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 9, 0, -1])
def test_pages_cover_everything_once_in_order(bench: Bench, limit: int) -> None:
    for name, count in (("c", 2), ("a", 4), ("b", 1)):
        bench.topic(name, count)
    seen = []
    cursor = None
    while True:
        response = page(bench, [], limit, cursor)
        found = [(t.name, p.partition_index) for t in response.topics for p in t.partitions]
        assert 1 <= len(found) <= max(limit, 1)
        seen += found
        cursor = response.next_cursor
        if cursor is None:
            break
    assert seen == [("a", 0), ("a", 1), ("a", 2), ("a", 3), ("b", 0), ("c", 0), ("c", 1)]


def test_unknown_topics_come_first_and_cursors_must_fit(bench: Bench) -> None:
    bench.topic("b", 2)
    response = page(bench, ["b", "zz", "a b", "b"], 10)
    assert [(t.name, t.error_code) for t in response.topics] == [("a b", 17), ("zz", 3), ("b", 0)]
    for cursor in (Cursor("a", 0), Cursor("b", -1)):
        with pytest.raises(KafkaError) as refused:
            page(bench, ["b"], 10, cursor)
        assert refused.value.code == ErrorCode.INVALID_REQUEST
    beyond = page(bench, ["b"], 10, Cursor("b", 9))
    assert (only(beyond.topics).partitions, beyond.next_cursor) == ([], None)
