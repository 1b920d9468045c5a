"""DescribeConfigs (key 32), v0-v4: every setting of a resource, with its source and the values behind it.

Behaviour: one refused resource does not stop the others, but a resource type that nobody knows ends the request, as in
    Kafka. Brokers describe themselves and the cluster-wide defaults (""), groups and client metrics need not exist.
    Broker loggers: an empty list, log levels are not settings here. Null or no keys: all of them.
    A group that is asked for `tailrace.last.rebalance` tells that; nobody is told who does not ask.
Versions: v0 is_default instead of a source; v1 synonyms; v3 types and documentation.
"""

from __future__ import annotations

import json
from collections.abc import Mapping

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.broker.context import RequestContext
from tailrace.broker.services import Services
from tailrace.cluster.config_entries import (
    ConfigEntry,
    broker_entries,
    client_metrics_entries,
    cluster_default_entries,
    group_entries,
    topic_entries,
)
from tailrace.cluster.records import ResourceType
from tailrace.cluster.settings import ConfigSource
from tailrace.cluster.topic_names import check_topic_name
from tailrace.coordinator.rebalances import LAST_REBALANCE
from tailrace.wire.messages.describe_configs import (
    DescribeConfigsRequest,
    DescribeConfigsResource,
    DescribeConfigsResourceResult,
    DescribeConfigsResponse,
    DescribeConfigsResult,
    DescribeConfigsSynonym,
)

_RESOURCE_TYPES = frozenset(int(kind) for kind in ResourceType)


def handle(services: Services, context: RequestContext, request: DescribeConfigsRequest) -> DescribeConfigsResponse:
    """Describe each resource. Raises INVALID_REQUEST for an unknown resource type."""
    results = []
    docs = _docs() if request.include_documentation else {}
    for resource in request.resources:
        if resource.resource_type not in _RESOURCE_TYPES:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown resource type {resource.resource_type}")
        try:
            entries = _entries(services, resource.resource_type, resource.resource_name)
        except KafkaError as error:
            results.append(_result(resource, error.code, error.message, []))
        else:
            keys = resource.configuration_keys
            shown = [_shown(e, request, docs) for e in entries if not keys or e.definition.name in keys]
            if keys and LAST_REBALANCE in keys and resource.resource_type == ResourceType.GROUP:
                shown.append(_last_rebalance(services, resource.resource_name))
            results.append(_result(resource, ErrorCode.NONE, "", shown))
    return DescribeConfigsResponse(results=results)


def _last_rebalance(services: Services, group_id: str) -> DescribeConfigsResourceResult:
    """JSON of `at_ms`, `generation` and `reason`; "null" when the group has not rebalanced since the broker started."""
    last = services.groups.last_rebalance(group_id)
    text = json.dumps(None if last is None else last._asdict())
    return DescribeConfigsResourceResult(LAST_REBALANCE, text, read_only=True, config_source=ConfigSource.DEFAULT)


def _docs() -> Mapping[str, str]:
    # The texts are long and few requests want them: no start pays for them.
    from tailrace.cluster.config_docs import CONFIG_DOCS

    return CONFIG_DOCS


def _result(
    resource: DescribeConfigsResource,
    code: ErrorCode,
    message: str | None,
    configs: list[DescribeConfigsResourceResult],
) -> DescribeConfigsResult:
    return DescribeConfigsResult(code, message, resource.resource_type, resource.resource_name, configs)


def _entries(services: Services, resource_type: int, name: str) -> list[ConfigEntry]:
    image, settings = services.metadata.image, services.settings
    own = image.configs(resource_type, name)
    match resource_type:
        case ResourceType.TOPIC:
            check_topic_name(name)
            if image.topic(name) is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
            return topic_entries(own, settings)
        case ResourceType.BROKER:
            if not name:
                return cluster_default_entries(own)
            _check_own_id(services, name, " or empty string")
            return broker_entries(settings)
        case ResourceType.BROKER_LOGGER:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Broker id must not be empty")
            _check_own_id(services, name, "")
            return []
        case ResourceType.GROUP:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Group name must not be empty")
            return group_entries(own, settings)
        case _:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Client metrics subscription name must not be empty")
            return client_metrics_entries(own)


def _check_own_id(services: Services, name: str, otherwise: str) -> None:
    try:
        broker_id = int(name)
    except ValueError:
        message = f"Broker id must be an integer, but it is: {name}"
        raise KafkaError(ErrorCode.INVALID_REQUEST, message) from None
    if broker_id != services.node_id:
        message = f"Unexpected broker id, expected {services.node_id}{otherwise}, but received {name}"
        raise KafkaError(ErrorCode.INVALID_REQUEST, message)


def _shown(
    entry: ConfigEntry, request: DescribeConfigsRequest, docs: Mapping[str, str]
) -> DescribeConfigsResourceResult:
    definition = entry.definition
    synonyms = []
    if request.include_synonyms:
        for synonym in entry.synonyms:
            value = None if definition.is_sensitive else synonym.value
            synonyms.append(DescribeConfigsSynonym(synonym.name, value, synonym.source))
    return DescribeConfigsResourceResult(
        definition.name,
        entry.value,
        entry.is_read_only,
        is_default=entry.source is ConfigSource.DEFAULT,
        config_source=entry.source,
        is_sensitive=definition.is_sensitive,
        synonyms=synonyms,
        config_type=definition.type,
        documentation=docs.get(definition.name),
    )
