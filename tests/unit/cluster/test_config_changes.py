"""Decisions about settings. Codes and messages are those that Apache Kafka 4.3.1 gave to the same requests."""

from __future__ import annotations

import pytest

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.cluster.config_changes import ConfigChange, ConfigOperation, decide_alter_configs, decide_replace_configs
from tailrace.cluster.image import ConfigResource, MetadataImage
from tailrace.cluster.records import BrokerRecord, ConfigRecord, ResourceType, TopicRecord
from tailrace.cluster.settings import BrokerSettings

SET, DELETE, APPEND, SUBTRACT = ConfigOperation
TOPIC = ConfigResource(ResourceType.TOPIC, "t")


class Cluster:
    """One broker, one topic, and the settings set on them."""

    def __init__(self) -> None:
        self.image = MetadataImage()
        self.image.replay([BrokerRecord(1, "", 0, None), TopicRecord("t", ZERO_TOPIC_ID)], 1)
        self.settings = BrokerSettings()

    def alter(self, resource: ConfigResource, *changes: tuple[str, int, str | None]) -> None:
        wanted = [ConfigChange(*change) for change in changes]
        self.image.replay(decide_alter_configs(self.image, self.settings, resource, wanted), self.image.version + 1)

    def replace(self, resource: ConfigResource, **configs: str) -> None:
        wanted = [(name.replace("_", "."), value) for name, value in configs.items()]
        self.image.replay(decide_replace_configs(self.image, self.settings, resource, wanted), self.image.version + 1)

    def configs(self, resource: ConfigResource = TOPIC) -> dict[str, str]:
        return dict(self.image.configs(*resource))


@pytest.fixture
def cluster() -> Cluster:
    return Cluster()


def test_set_and_delete(cluster: Cluster) -> None:
    cluster.alter(TOPIC, ("retention.ms", SET, " 55 "), ("segment.ms", SET, "7"))
    assert cluster.configs() == {"retention.ms": "55", "segment.ms": "7"}
    cluster.alter(TOPIC, ("retention.ms", DELETE, None), ("flush.ms", DELETE, "5"), ("unknown", DELETE, None))
    assert cluster.configs() == {"segment.ms": "7"}


def test_append_starts_from_the_default_and_subtract_may_empty_the_list(cluster: Cluster) -> None:
    for operation, value, result in [
        (APPEND, "compact", "delete,compact"),
        (APPEND, "compact", "delete,compact"),
        (SUBTRACT, "delete", "compact"),
        (SUBTRACT, "compact", ""),
        (SUBTRACT, "compact", ""),
    ]:
        cluster.alter(TOPIC, ("cleanup.policy", operation, value))
        assert cluster.configs() == {"cleanup.policy": result}


def test_several_names_are_appended_at_once(cluster: Cluster) -> None:
    name = "leader.replication.throttled.replicas"
    cluster.alter(TOPIC, (name, APPEND, "0:1, 1:1"))
    cluster.alter(TOPIC, (name, APPEND, ""))
    assert cluster.configs() == {name: "0:1,1:1"}
    cluster.alter(TOPIC, (name, SUBTRACT, "0:1"))
    assert cluster.configs() == {name: "1:1"}


def test_replacing_removes_what_is_not_named(cluster: Cluster) -> None:
    cluster.replace(TOPIC, retention_ms="5", segment_ms="7")
    cluster.replace(TOPIC, segment_ms="8")
    assert cluster.configs() == {"segment.ms": "8"}
    cluster.replace(TOPIC)
    assert cluster.configs() == {}


def test_what_is_so_already_needs_no_record(cluster: Cluster) -> None:
    cluster.alter(TOPIC, ("retention.ms", SET, "55"))
    change = ConfigChange("retention.ms", SET, "055")
    assert decide_alter_configs(cluster.image, cluster.settings, TOPIC, [change]) == []


def test_a_refused_change_takes_the_whole_resource_with_it(cluster: Cluster) -> None:
    with pytest.raises(KafkaError):
        cluster.alter(TOPIC, ("retention.ms", SET, "5000"), ("zz", SET, "2"))
    assert cluster.configs() == {}


BAD_CONFIG, BAD_REQUEST = ErrorCode.INVALID_CONFIG, ErrorCode.INVALID_REQUEST
BAD_TOPIC = ErrorCode.INVALID_TOPIC_EXCEPTION
UNKNOWN_TOPIC = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION


@pytest.mark.parametrize(
    ("kind", "name", "changes", "code", "message"),
    [
        (2, "nope", [("retention.ms", 0, "1")], UNKNOWN_TOPIC, "The topic 'nope' does not exist."),
        (2, "", [("retention.ms", 0, "1")], BAD_REQUEST, "Default topic resources are not allowed."),
        (2, "bad name", [("retention.ms", 0, "1")], BAD_TOPIC, "Topic name is invalid: 'bad name'"),
        (2, "t", [("foo", 0, "1")], BAD_CONFIG, "Unknown topic config name: foo"),
        (2, "t", [("retention.ms", 0, None)], BAD_REQUEST, "Null value not supported for : retention.ms"),
        (2, "t", [("retention.ms", 2, "1")], BAD_CONFIG, "Can't APPEND to key retention.ms because its type"),
        (2, "t", [("retention.ms", 3, "1")], BAD_CONFIG, "Can't SUBTRACT to key retention.ms because its"),
        (2, "t", [("foo", 2, "1")], BAD_CONFIG, "Can't APPEND to key foo because its type"),
        (2, "t", [("retention.ms", 9, "1")], BAD_REQUEST, "Unknown operation 9 for key retention.ms."),
        (2, "t", [("retention.ms", 0, "1"), ("retention.ms", 0, "2")], BAD_REQUEST, "Error due to duplicate config"),
        (2, "t", [("retention.ms", 0, "abc")], BAD_CONFIG, "Not a number of type LONG"),
        (2, "t", [("cleanup.policy", 2, "foo")], BAD_CONFIG, "String must be one of: compact, delete"),
        (2, "t", [("remote.storage.enable", 0, "true")], BAD_CONFIG, "Tiered Storage functionality is disabled"),
        (4, "7", [("log.retention.ms", 0, "5")], BAD_REQUEST, "Unexpected broker id, expected 1, but received 7"),
        (4, "x", [("log.retention.ms", 0, "5")], BAD_REQUEST, "Node id must be an integer, but it is: x"),
        (4, "1", [("node.id", 0, "5")], BAD_REQUEST, "Cannot update these configs dynamically: [node.id]"),
        (4, "", [("listeners", 0, "PLAINTEXT://:1")], BAD_REQUEST, "Cannot update these configs at default cluster"),
        (4, "1", [("log.retention.ms", 0, "abc")], BAD_REQUEST, "Not a number of type LONG"),
        (4, "1", [("foo", 0, "5")], BAD_CONFIG, "Unknown broker config name: foo"),
        (8, "1", [("kafka", 0, "DEBUG")], BAD_CONFIG, "Logger kafka does not exist!"),
        (8, "1", [("kafka", 2, "DEBUG")], BAD_REQUEST, "APPEND operation is not allowed for the BROKER_LOGGER"),
        (8, "", [("kafka", 0, "DEBUG")], BAD_REQUEST, "Node id must be an integer, but it is: "),
        (32, "", [("consumer.session.timeout.ms", 0, "50000")], BAD_REQUEST, "Default group resources are not allowed"),
        (32, "g", [("foo", 0, "1")], BAD_CONFIG, "Unknown group config name: foo"),
        (32, "g", [("consumer.session.timeout.ms", 0, "5")], BAD_CONFIG, "group.consumer.min.session.timeout.ms"),
        (32, "g", [("consumer.session.timeout.ms", 0, "60001")], BAD_CONFIG, "group.consumer.max.session.timeout.ms"),
        (16, "", [("interval.ms", 0, "1000")], BAD_REQUEST, "Subscription name can't be empty"),
        (16, "m", [("interval.ms", 0, "5")], BAD_REQUEST, "interval must be between 100 and 3600000 (1 hour)"),
        (16, "m", [("match", 0, "foo")], BAD_CONFIG, "Illegal client matching pattern: foo"),
        (16, "m", [("zz", 0, "1")], BAD_REQUEST, "Unknown client metrics configuration: zz"),
        (99, "t", [("a", 0, "1")], BAD_REQUEST, "Unknown resource type 99"),
    ],
)  # fmt: skip
def test_refusals(
    cluster: Cluster, kind: int, name: str, changes: list[tuple[str, int, str | None]], code: ErrorCode, message: str
) -> None:
    with pytest.raises(KafkaError) as refused:
        cluster.alter(ConfigResource(kind, name), *changes)
    assert refused.value.code == code
    assert message in str(refused.value)


def test_log_levels_are_no_resource_of_the_older_request(cluster: Cluster) -> None:
    with pytest.raises(KafkaError, match="Unknown resource type 8"):
        cluster.replace(ConfigResource(ResourceType.BROKER_LOGGER, "1"), kafka="DEBUG")


@pytest.mark.parametrize(
    ("resource", "name", "value"),
    [
        (ConfigResource(ResourceType.BROKER, "1"), "listeners", "PLAINTEXT://:9093"),
        (ConfigResource(ResourceType.BROKER, "1"), "leader.replication.throttled.rate", "1000"),
        (ConfigResource(ResourceType.BROKER, ""), "log.retention.ms", "6000"),
        (ConfigResource(ResourceType.GROUP, "g"), "consumer.session.timeout.ms", "50000"),
        (ConfigResource(ResourceType.CLIENT_METRICS, "m"), "match", "client_id=a.*,client_source_port=1"),
    ],
)
def test_other_resources_take_what_they_may(cluster: Cluster, resource: ConfigResource, name: str, value: str) -> None:
    cluster.alter(resource, (name, SET, value))
    assert cluster.configs(resource) == {name: value}


def test_a_read_only_setting_that_is_there_does_not_block_others(cluster: Cluster) -> None:
    """A store written by a version that allowed more must not make a broker unalterable."""
    broker = ConfigResource(ResourceType.BROKER, "1")
    cluster.image.replay([ConfigRecord(*broker, "log.retention.hours", "5")], 2)
    cluster.alter(broker, ("log.retention.ms", SET, "9"))
    assert cluster.configs(broker)["log.retention.ms"] == "9"
