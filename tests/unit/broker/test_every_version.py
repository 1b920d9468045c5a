"""Admin requests, in every version served: decoded from bytes, answered, and the answer read back."""

from __future__ import annotations

from collections.abc import Callable
from importlib import import_module
from typing import Any

import pytest
from broker_bench import Bench

from tailrace.wire.api import ApiKey, api
from tailrace.wire.messages import (
    alter_configs,
    alter_partition_reassignments,
    alter_replica_log_dirs,
    create_partitions,
    create_topics,
    delete_records,
    delete_topics,
    describe_client_quotas,
    describe_cluster,
    describe_configs,
    describe_log_dirs,
    describe_producers,
    describe_topic_partitions,
    describe_user_scram_credentials,
    elect_leaders,
    incremental_alter_configs,
    init_producer_id,
    list_config_resources,
    list_partition_reassignments,
    metadata,
    update_features,
)


def _create_topics(version: int) -> Any:
    configs = [create_topics.CreatableTopicConfig("retention.ms", "5")]
    return create_topics.CreateTopicsRequest([create_topics.CreatableTopic("new", 2, 1, [], configs)])


def _delete_topics(version: int) -> Any:
    if version < 6:
        return delete_topics.DeleteTopicsRequest(topic_names=["a"])
    return delete_topics.DeleteTopicsRequest([delete_topics.DeleteTopicState("a")])


def _metadata(version: int) -> Any:
    return metadata.MetadataRequest([metadata.MetadataRequestTopic(name="a")])


def _describe_configs(version: int) -> Any:
    resources = [describe_configs.DescribeConfigsResource(kind, name, None) for kind, name in ((2, "a"), (4, "1"))]
    return describe_configs.DescribeConfigsRequest(resources, version >= 1, version >= 3)


def _alter_configs(version: int) -> Any:
    configs = [alter_configs.AlterableConfig("retention.ms", "5")]
    return alter_configs.AlterConfigsRequest([alter_configs.AlterConfigsResource(2, "a", configs)])


def _incremental_alter_configs(version: int) -> Any:
    configs = [incremental_alter_configs.AlterableConfig("retention.ms", 0, "5")]
    resource = incremental_alter_configs.AlterConfigsResource(2, "a", configs)
    return incremental_alter_configs.IncrementalAlterConfigsRequest([resource])


def _create_partitions(version: int) -> Any:
    return create_partitions.CreatePartitionsRequest([create_partitions.CreatePartitionsTopic("a", 4, None)])


def _delete_records(version: int) -> Any:
    partitions = [delete_records.DeleteRecordsPartition(0, -1)]
    return delete_records.DeleteRecordsRequest([delete_records.DeleteRecordsTopic("a", partitions)])


def _describe_producers(version: int) -> Any:
    return describe_producers.DescribeProducersRequest([describe_producers.TopicRequest("a", [0])])


def _describe_topic_partitions(version: int) -> Any:
    topics = [describe_topic_partitions.TopicRequest("a")]
    return describe_topic_partitions.DescribeTopicPartitionsRequest(topics, 1, None)


def _elect_leaders(version: int) -> Any:
    return elect_leaders.ElectLeadersRequest(min(version, 1), None)


def _alter_partition_reassignments(version: int) -> Any:
    partitions = [alter_partition_reassignments.ReassignablePartition(0, [1])]
    topics = [alter_partition_reassignments.ReassignableTopic("a", partitions)]
    return alter_partition_reassignments.AlterPartitionReassignmentsRequest(topics=topics)


def _alter_replica_log_dirs(version: int) -> Any:
    topics = [alter_replica_log_dirs.AlterReplicaLogDirTopic("a", [])]
    return alter_replica_log_dirs.AlterReplicaLogDirsRequest([alter_replica_log_dirs.AlterReplicaLogDir("/x", topics)])


def _describe_client_quotas(version: int) -> Any:
    return describe_client_quotas.DescribeClientQuotasRequest([describe_client_quotas.ComponentData("user", 0, "u")])


def _update_features(version: int) -> Any:
    return update_features.UpdateFeaturesRequest(feature_updates=[update_features.FeatureUpdateKey("group.version", 1)])


REQUESTS: dict[ApiKey, Callable[[int], Any]] = {
    ApiKey.METADATA: _metadata,
    ApiKey.CREATE_TOPICS: _create_topics,
    ApiKey.DELETE_TOPICS: _delete_topics,
    ApiKey.CREATE_PARTITIONS: _create_partitions,
    ApiKey.DELETE_RECORDS: _delete_records,
    ApiKey.DESCRIBE_CONFIGS: _describe_configs,
    ApiKey.ALTER_CONFIGS: _alter_configs,
    ApiKey.INCREMENTAL_ALTER_CONFIGS: _incremental_alter_configs,
    ApiKey.LIST_CONFIG_RESOURCES: lambda version: list_config_resources.ListConfigResourcesRequest(),
    ApiKey.DESCRIBE_CLUSTER: lambda version: describe_cluster.DescribeClusterRequest(),
    ApiKey.DESCRIBE_LOG_DIRS: lambda version: describe_log_dirs.DescribeLogDirsRequest(None),
    ApiKey.DESCRIBE_PRODUCERS: _describe_producers,
    ApiKey.DESCRIBE_TOPIC_PARTITIONS: _describe_topic_partitions,
    ApiKey.ELECT_LEADERS: _elect_leaders,
    ApiKey.ALTER_PARTITION_REASSIGNMENTS: _alter_partition_reassignments,
    ApiKey.LIST_PARTITION_REASSIGNMENTS: lambda version: (
        list_partition_reassignments.ListPartitionReassignmentsRequest()
    ),
    ApiKey.ALTER_REPLICA_LOG_DIRS: _alter_replica_log_dirs,
    ApiKey.DESCRIBE_CLIENT_QUOTAS: _describe_client_quotas,
    ApiKey.DESCRIBE_USER_SCRAM_CREDENTIALS: lambda version: (
        describe_user_scram_credentials.DescribeUserScramCredentialsRequest()
    ),
    ApiKey.UPDATE_FEATURES: _update_features,
    ApiKey.INIT_PRODUCER_ID: lambda version: init_producer_id.InitProducerIdRequest(None),
}


def _served_versions() -> list[tuple[ApiKey, int]]:
    versions = []
    for key in REQUESTS:
        found = api(key)
        assert found is not None
        versions += [(key, version) for version in range(found.first_version, found.last_version + 1)]
    return versions


def _codes(message: Any) -> set[int]:
    """Every error code anywhere in a message."""
    if isinstance(message, list):
        return set().union(*map(_codes, message)) if message else set()
    if not hasattr(message, "__slots__") or not hasattr(message, "encode"):
        return set()
    codes = {message.error_code} if hasattr(message, "error_code") else set()
    return codes.union(*(_codes(getattr(message, name)) for name in message.__slots__))


@pytest.mark.parametrize(("key", "version"), _served_versions())
def test_a_request_of_every_version_is_answered_without_error(bench: Bench, key: ApiKey, version: int) -> None:
    bench.topic("a", 2)
    found = api(key)
    assert found is not None
    sent = bytearray()
    REQUESTS[key](version).encode(sent, version)
    request, end = found.request.decode(memoryview(sent), 0, version)
    assert end == len(sent)
    handler = import_module(f"tailrace.broker.handlers.{key.name.lower()}")
    response = handler.handle(bench.services, bench.context(key, version), request)
    answered = bytearray()
    response.encode(answered, version)
    read, end = found.response.decode(memoryview(answered), 0, version)
    assert end == len(answered)
    assert _codes(read) <= {0}
