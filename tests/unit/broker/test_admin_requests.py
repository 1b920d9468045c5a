"""Requests about settings, the cluster, directories and producers."""

from __future__ import annotations

import pytest
from broker_bench import Bench, only

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.broker.handlers import (
    alter_configs,
    describe_cluster,
    describe_configs,
    describe_log_dirs,
    describe_producers,
    incremental_alter_configs,
    init_producer_id,
    list_config_resources,
)
from tailrace.cluster.broker_configs import BROKER_CONFIGS, DYNAMIC_ONLY
from tailrace.cluster.own_configs import OWN_CONFIGS, OWN_TOPIC_ROWS
from tailrace.records.builder import build_batch
from tailrace.records.record import Record
from tailrace.wire.messages import alter_configs as replacing
from tailrace.wire.messages import incremental_alter_configs as incremental
from tailrace.wire.messages.describe_cluster import DescribeClusterRequest
from tailrace.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
)
from tailrace.wire.messages.describe_log_dirs import DescribableLogDirTopic, DescribeLogDirsRequest
from tailrace.wire.messages.describe_producers import DescribeProducersRequest, TopicRequest
from tailrace.wire.messages.init_producer_id import InitProducerIdRequest, InitProducerIdResponse
from tailrace.wire.messages.list_config_resources import ListConfigResourcesRequest

TOPIC, BROKER, LOGGER, METRICS, GROUP = 2, 4, 8, 16, 32


def describe(bench: Bench, kind: int, name: str, *keys: str) -> dict[str, DescribeConfigsResourceResult]:
    resource = DescribeConfigsResource(kind, name, list(keys) or None)
    request = DescribeConfigsRequest([resource], include_synonyms=True, include_documentation=True)
    result = only(describe_configs.handle(bench.services, bench.context(32, 4), request).results)
    assert (result.error_code, result.resource_type, result.resource_name) == (0, kind, name)
    return {config.name: config for config in result.configs}


def alter(
    bench: Bench, kind: int, name: str, *changes: tuple[str, int, str | None], validate_only: bool = False
) -> int:
    resource = incremental.AlterConfigsResource(kind, name, [incremental.AlterableConfig(*c) for c in changes])
    request = incremental.IncrementalAlterConfigsRequest([resource], validate_only)
    response = incremental_alter_configs.handle(bench.services, bench.context(44, 1), request)
    code: int = only(response.responses).error_code
    return code


def synonyms(config: DescribeConfigsResourceResult) -> list[tuple[str, str | None, int]]:
    return [(synonym.name, synonym.value, synonym.source) for synonym in config.synonyms]


def test_every_setting_is_listed_with_type_and_documentation(bench: Bench) -> None:
    bench.topic("a")
    broker = describe(bench, BROKER, "1")
    assert len(broker) == len(BROKER_CONFIGS) - len(DYNAMIC_ONLY)
    assert len(broker.keys() - OWN_CONFIGS) == 340
    assert len(describe(bench, TOPIC, "a").keys() - OWN_CONFIGS) == 33
    assert len(describe(bench, GROUP, "g")) == 17
    assert len(describe(bench, METRICS, "m")) == 3
    assert describe(bench, LOGGER, "1") == {}
    assert describe(bench, BROKER, "") == {}
    for config in broker.values():
        assert config.documentation, config.name
        assert config.config_type > 0
    assert broker["node.id"].read_only
    assert not broker["log.retention.ms"].read_only
    assert "in Apache Kafka 3000" in str(broker["group.initial.rebalance.delay.ms"].documentation)


def test_only_the_keys_asked_for_are_shown(bench: Bench) -> None:
    bench.topic("a")
    assert list(describe(bench, TOPIC, "a", "retention.ms", "no.such")) == ["retention.ms"]
    resource = DescribeConfigsResource(TOPIC, "a", [])
    request = DescribeConfigsRequest([resource])
    result = only(describe_configs.handle(bench.services, bench.context(32, 1), request).results)
    assert len(result.configs) == 33 + len(OWN_TOPIC_ROWS), "an empty list of keys asks for all, as in Kafka"
    assert result.configs[0].synonyms == []
    assert result.configs[0].documentation is None


def test_a_change_is_in_force_at_once_and_its_source_is_shown(bench: Bench) -> None:
    partition = only(bench.topic("a"))
    assert alter(bench, BROKER, "", ("log.retention.ms", 0, "6000")) == 0
    assert partition.log.config.retention_ms == 6000
    assert alter(bench, BROKER, "1", ("log.retention.ms", 0, "5000")) == 0
    assert partition.log.config.retention_ms == 5000
    shown = describe(bench, TOPIC, "a")["retention.ms"]
    assert (shown.value, shown.config_source) == ("5000", 2)
    inherited = [("log.retention.ms", "5000", 2), ("log.retention.ms", "6000", 3), ("log.retention.hours", "168", 5)]
    assert synonyms(shown) == inherited
    assert alter(bench, TOPIC, "a", ("retention.ms", 0, "79")) == 0
    assert partition.log.config.retention_ms == 79
    shown = describe(bench, TOPIC, "a")["retention.ms"]
    assert (shown.value, shown.config_source, shown.is_default) == ("79", 1, False)
    assert synonyms(shown) == [("retention.ms", "79", 1), *inherited]
    assert [c.value for c in describe(bench, BROKER, "").values()] == ["6000"]


def test_secrets_are_never_shown(bench: Bench) -> None:
    assert alter(bench, BROKER, "1", ("sasl.jaas.config", 0, "secret")) == 0
    shown = describe(bench, BROKER, "1")["sasl.jaas.config"]
    assert (shown.value, shown.is_sensitive, shown.config_source) == (None, True, 2)
    assert synonyms(shown) == [("sasl.jaas.config", None, 2)]


def test_groups_inherit_from_the_broker(bench: Bench) -> None:
    assert alter(bench, GROUP, "g", ("consumer.session.timeout.ms", 0, "50000")) == 0
    own = describe(bench, GROUP, "g")["consumer.session.timeout.ms"]
    assert synonyms(own) == [
        ("consumer.session.timeout.ms", "50000", 8),
        ("group.consumer.session.timeout.ms", "45000", 5),
    ]
    other = describe(bench, GROUP, "other")["consumer.session.timeout.ms"]
    assert (other.value, other.config_source) == ("45000", 5)


def test_resources_that_cannot_be_described(bench: Bench) -> None:
    asked = [
        (TOPIC, "nope", 3, "The topic 'nope' does not exist."),
        (TOPIC, "", 17, "Topic name is invalid: the empty string is not allowed"),
        (BROKER, "7", 42, "Unexpected broker id, expected 1 or empty string, but received 7"),
        (BROKER, "x", 42, "Broker id must be an integer, but it is: x"),
        (LOGGER, "", 42, "Broker id must not be empty"),
        (GROUP, "", 42, "Group name must not be empty"),
        (METRICS, "", 42, "Client metrics subscription name must not be empty"),
    ]
    resources = [DescribeConfigsResource(kind, name, None) for kind, name, _, _ in asked]
    response = describe_configs.handle(bench.services, bench.context(32, 4), DescribeConfigsRequest(resources))
    found = [(r.resource_type, r.resource_name, r.error_code, r.error_message) for r in response.results]
    assert found == asked
    with pytest.raises(KafkaError) as refused:
        request = DescribeConfigsRequest([DescribeConfigsResource(99, "a", None)])
        describe_configs.handle(bench.services, bench.context(32, 4), request)
    assert refused.value.code == ErrorCode.INVALID_REQUEST


def test_good_and_bad_resources_of_one_alteration_each_get_their_due(bench: Bench) -> None:
    for name in ("a", "b", "c"):
        bench.topic(name)
    asked = [("a", "5"), ("b", "abc"), ("c", "7"), ("c", "8"), ("nope", "5")]
    resources = [
        incremental.AlterConfigsResource(TOPIC, name, [incremental.AlterableConfig("retention.ms", 0, value)])
        for name, value in asked
    ]
    response = incremental_alter_configs.handle(
        bench.services, bench.context(44, 1), incremental.IncrementalAlterConfigsRequest(resources)
    )
    codes = {answer.resource_name: answer.error_code for answer in response.responses}
    assert codes == {"a": 0, "b": ErrorCode.INVALID_CONFIG, "c": ErrorCode.INVALID_REQUEST, "nope": 3}
    assert bench.metadata.topic_configs("a")["retention.ms"] == 5
    assert bench.metadata.image.configs(TOPIC, "c") == {}


def test_validating_only_alters_nothing(bench: Bench) -> None:
    bench.topic("a")
    assert alter(bench, TOPIC, "a", ("retention.ms", 0, "5"), validate_only=True) == 0
    assert alter(bench, TOPIC, "a", ("retention.ms", 0, "x"), validate_only=True) == ErrorCode.INVALID_CONFIG
    assert bench.metadata.image.configs(TOPIC, "a") == {}


def test_append_and_subtract_leave_the_broker_able_to_serve(bench: Bench) -> None:
    """wants.md B27: such a request took another broker down."""
    partition = only(bench.topic("a"))
    assert alter(bench, TOPIC, "a", ("cleanup.policy", 2, "compact")) == 0
    assert partition.log.config.cleanup_policy == {"compact", "delete"}
    assert alter(bench, TOPIC, "a", ("retention.ms", 2, "1")) == ErrorCode.INVALID_CONFIG
    assert alter(bench, TOPIC, "a", ("cleanup.policy", 3, "delete")) == 0
    assert partition.log.config.cleanup_policy == {"compact"}


def test_a_tool_may_read_all_change_one_and_write_all_back(bench: Bench) -> None:
    """wants.md B22: the older AlterConfigs is used that way."""
    bench.topic("a", retention_ms="5")
    values = {name: config.value for name, config in describe(bench, TOPIC, "a").items()} | {"segment.ms": "77"}
    configs = [replacing.AlterableConfig(name, value) for name, value in values.items()]
    request = replacing.AlterConfigsRequest([replacing.AlterConfigsResource(TOPIC, "a", configs)])
    assert only(alter_configs.handle(bench.services, bench.context(33, 2), request).responses).error_code == 0
    after = {name: config.value for name, config in describe(bench, TOPIC, "a").items()}
    assert after == values
    nothing = replacing.AlterConfigsRequest([replacing.AlterConfigsResource(TOPIC, "a", [])])
    assert only(alter_configs.handle(bench.services, bench.context(33, 0), nothing).responses).error_code == 0
    assert bench.metadata.image.configs(TOPIC, "a") == {}


def test_resources_are_listed_by_type(bench: Bench) -> None:
    bench.topic("a")
    alter(bench, GROUP, "g", ("consumer.session.timeout.ms", 0, "50000"))
    alter(bench, METRICS, "m", ("interval.ms", 0, "1000"))

    def listed(version: int, *kinds: int) -> list[tuple[int, str]]:
        request = ListConfigResourcesRequest(list(kinds))
        response = list_config_resources.handle(bench.services, bench.context(74, version), request)
        assert response.error_code == (ErrorCode.UNSUPPORTED_VERSION if 99 in kinds else 0)
        return [(found.resource_type, found.resource_name) for found in response.config_resources]

    assert listed(0) == [(METRICS, "m")]
    assert listed(1) == [(GROUP, "g"), (METRICS, "m"), (LOGGER, "1"), (BROKER, "1"), (TOPIC, "a")]
    assert listed(1, TOPIC, TOPIC) == [(TOPIC, "a")]
    assert listed(1, TOPIC, 99) == []


def test_the_cluster_is_described_to_those_who_want_brokers(bench: Bench) -> None:
    response = describe_cluster.handle(bench.services, bench.context(60, 2), DescribeClusterRequest(True, 1))
    broker = only(response.brokers)
    assert (broker.broker_id, broker.host, broker.port, broker.rack) == (1, "10.0.0.1", 9092, None)
    assert (response.cluster_id, response.controller_id) == (bench.metadata.image.cluster_id, 1)
    assert response.cluster_authorized_operations == 8096
    for endpoint_type, code in ((2, ErrorCode.MISMATCHED_ENDPOINT_TYPE), (9, ErrorCode.UNSUPPORTED_ENDPOINT_TYPE)):
        request = DescribeClusterRequest(False, endpoint_type)
        response = describe_cluster.handle(bench.services, bench.context(60, 1), request)
        assert (response.error_code, response.brokers) == (code, [])


def test_log_directories_show_sizes(bench: Bench) -> None:
    bench.topic("a", 2)
    append(bench, "a", producer_id=-1, sequence=-1)
    request = DescribeLogDirsRequest(None)
    directory = only(describe_log_dirs.handle(bench.services, bench.context(35, 4), request).results)
    assert directory.log_dir == str(bench.logs.directories[0].path.absolute())
    assert 0 < directory.usable_bytes < directory.total_bytes
    sizes = {p.partition_index: p.partition_size for p in only(directory.topics).partitions}
    assert sizes == {0: bench.partitions.of("a", 0).log.size_bytes, 1: 0}
    assert sizes[0] > 61
    request = DescribeLogDirsRequest([DescribableLogDirTopic("a", [1, 7]), DescribableLogDirTopic("nope", [0])])
    directory = only(describe_log_dirs.handle(bench.services, bench.context(35, 1), request).results)
    assert [p.partition_index for p in only(directory.topics).partitions] == [1]


def append(bench: Bench, topic: str, producer_id: int, sequence: int) -> None:
    record = Record(0, bench.clock.wall_ms(), None, b"value")
    epoch = 0 if producer_id >= 0 else -1
    batch = build_batch([record], producer_id=producer_id, producer_epoch=epoch, base_sequence=sequence)
    bench.partitions.of(topic, 0).append(memoryview(batch))


def test_producers_of_a_partition_are_described(bench: Bench) -> None:
    bench.topic("a")
    append(bench, "a", producer_id=7, sequence=0)
    append(bench, "a", producer_id=7, sequence=1)
    request = DescribeProducersRequest([TopicRequest("a", [0, 9]), TopicRequest("bad name", [0])])
    response = describe_producers.handle(bench.services, bench.context(61, 0), request)
    first, second = response.topics[0].partitions
    producer = only(first.active_producers)
    assert (producer.producer_id, producer.producer_epoch, producer.last_sequence) == (7, 0, 1)
    assert (producer.last_timestamp, producer.coordinator_epoch, producer.current_txn_start_offset) == (
        bench.clock.wall_ms(),
        -1,
        -1,
    )
    assert second.error_code == ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
    assert only(response.topics[1].partitions).error_code == ErrorCode.INVALID_TOPIC_EXCEPTION


def init(bench: Bench, transactional_id: str | None = None, **fields: int) -> InitProducerIdResponse:
    request = InitProducerIdRequest(transactional_id, **fields)
    answer = init_producer_id.handle(bench.services, bench.context(22, 5), request)
    return answer.value if isinstance(answer, Pending) else answer


def test_every_producer_gets_an_id_of_its_own_with_epoch_0(bench: Bench) -> None:
    answers = [init(bench), init(bench), init(bench, producer_id=0, producer_epoch=4)]
    assert [(a.error_code, a.producer_id, a.producer_epoch) for a in answers] == [(0, 0, 0), (0, 1, 0), (0, 2, 0)]


@pytest.mark.parametrize(
    ("transactional_id", "fields", "code"),
    [
        (None, {"producer_epoch": 3}, ErrorCode.INVALID_REQUEST),
        (None, {"producer_id": 3}, ErrorCode.INVALID_REQUEST),
        ("", {}, ErrorCode.INVALID_REQUEST),
        ("t", {"transaction_timeout_ms": 0}, ErrorCode.INVALID_TRANSACTION_TIMEOUT),
        ("t", {"transaction_timeout_ms": 900_001}, ErrorCode.INVALID_TRANSACTION_TIMEOUT),
        ("t", {"transaction_timeout_ms": 900_000}, ErrorCode.NOT_COORDINATOR),
    ],
)
def test_refused_producers(bench: Bench, transactional_id: str | None, fields: dict[str, int], code: ErrorCode) -> None:
    answer = init(bench, transactional_id, **fields)
    assert (answer.error_code, answer.producer_id, answer.producer_epoch) == (code, -1, -1)
