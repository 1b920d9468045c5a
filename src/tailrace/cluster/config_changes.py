"""What the controller decides about settings: from a resource and changes, records or a refusal. Pure.

Two ways in, one check behind them. *Incremental* (KIP-339): each change sets, deletes, appends to or subtracts from one
setting. *Replacing* (the older AlterConfigs): what is not named is removed. A resource is changed whole or not at all.
Values are stored as the text of their typed form, so "a, b" is stored "a,b".

APPEND and SUBTRACT start from the resource's own value, else from the definition's default, as Kafka does; appending
what is there and subtracting what is not changes nothing.
Not its business: who may ask; what to do when a setting changed. Source: Kafka ConfigurationControlManager.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple

from tailrace.base.config import ConfigDefs, ConfigType, parse_list, render
from tailrace.base.errors import ConfigError, ErrorCode, KafkaError
from tailrace.cluster.broker_configs import BROKER_CONFIGS
from tailrace.cluster.config_rules import check_broker_configs, check_client_metrics_configs, check_group_configs
from tailrace.cluster.group_configs import CLIENT_METRICS_CONFIGS, GROUP_CONFIGS
from tailrace.cluster.image import ConfigResource, MetadataImage
from tailrace.cluster.records import ConfigRecord, ResourceType
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.topic_configs import TOPIC_CONFIGS, check_topic_configs
from tailrace.cluster.topic_names import check_topic_name

DEFINITIONS: Mapping[int, ConfigDefs] = {
    ResourceType.TOPIC: TOPIC_CONFIGS,
    ResourceType.BROKER: BROKER_CONFIGS,
    ResourceType.GROUP: GROUP_CONFIGS,
    ResourceType.CLIENT_METRICS: CLIENT_METRICS_CONFIGS,
}
"""The settings that each type of resource has. Broker loggers have none here: log levels are the process's business."""


class ConfigOperation(IntEnum):
    """What a change does; int8 on the wire. Source: Kafka AlterConfigOp.OpType."""

    SET = 0
    DELETE = 1
    APPEND = 2
    SUBTRACT = 3


class ConfigChange(NamedTuple):
    """One change of one setting. `value` is ignored by DELETE."""

    name: str
    operation: int
    value: str | None


def decide_alter_configs(
    image: MetadataImage, settings: BrokerSettings, resource: ConfigResource, changes: Sequence[ConfigChange]
) -> list[ConfigRecord]:
    """Records that change `resource` step by step. Raises KafkaError."""
    _check_distinct([change.name for change in changes])
    if resource.type == ResourceType.BROKER_LOGGER:
        raise _refused_loggers(image, resource.name, changes)
    _check_resource(image, resource)
    nulls = [c.name for c in changes if c.value is None and c.operation != ConfigOperation.DELETE]
    _check_not_null(nulls)
    own = image.configs(resource.type, resource.name)
    wanted = dict(own)
    for change in changes:
        if change.operation == ConfigOperation.DELETE:
            wanted.pop(change.name, None)
        else:
            wanted[change.name] = _changed_value(DEFINITIONS[resource.type], own, change)
    changed = {change.name: change.value for change in changes}
    return _records(resource, own, _checked(resource, settings, wanted, changed))


def decide_replace_configs(
    image: MetadataImage, settings: BrokerSettings, resource: ConfigResource, configs: Sequence[tuple[str, str | None]]
) -> list[ConfigRecord]:
    """Records after which `resource` has exactly `configs`. Raises KafkaError."""
    _check_distinct([name for name, _ in configs])
    _check_resource(image, resource)
    _check_not_null([name for name, value in configs if value is None])
    wanted = {name: value or "" for name, value in configs}
    own = image.configs(resource.type, resource.name)
    return _records(resource, own, _checked(resource, settings, wanted, wanted))


def _changed_value(definitions: ConfigDefs, own: Mapping[str, str], change: ConfigChange) -> str:
    value = change.value or ""
    if change.operation == ConfigOperation.SET:
        return value
    definition = definitions.get(change.name)
    if change.operation not in (ConfigOperation.APPEND, ConfigOperation.SUBTRACT):
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown operation {change.operation} for key {change.name}.")
    if definition is None or definition.type is not ConfigType.LIST:
        verb = ConfigOperation(change.operation).name
        message = f"Can't {verb} to key {change.name} because its type is not LIST."
        raise KafkaError(ErrorCode.INVALID_CONFIG, message)
    base = parse_list(own.get(change.name, definition.default or ""))
    names = parse_list(value)
    if change.operation == ConfigOperation.APPEND:
        return ",".join(dict.fromkeys(base + names))
    return ",".join(name for name in base if name not in names)


def _refused_loggers(image: MetadataImage, name: str, changes: Sequence[ConfigChange]) -> KafkaError:
    """Why log levels cannot be changed this way, in the order Kafka looks: there are no loggers with Kafka's names."""
    try:
        check_broker_name(image, name)
    except KafkaError as error:
        return error
    for change in changes:
        if change.operation in (ConfigOperation.APPEND, ConfigOperation.SUBTRACT):
            verb = ConfigOperation(change.operation).name
            message = f"{verb} operation is not allowed for the BROKER_LOGGER resource"
            return KafkaError(ErrorCode.INVALID_REQUEST, message)
    names = ", ".join(change.name for change in changes)
    return KafkaError(ErrorCode.INVALID_CONFIG, f"Logger {names} does not exist!")


def _check_distinct(names: Sequence[str]) -> None:
    if len(set(names)) != len(names):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Error due to duplicate config keys")


def _check_not_null(nulls: Sequence[str]) -> None:
    if nulls:
        raise KafkaError(ErrorCode.INVALID_REQUEST, f"Null value not supported for : {','.join(nulls)}")


def _check_resource(image: MetadataImage, resource: ConfigResource) -> None:
    """Raise KafkaError unless `resource` is one that settings can be set on."""
    name = resource.name
    match resource.type:
        case ResourceType.TOPIC:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Default topic resources are not allowed.")
            check_topic_name(name)
            if image.topic(name) is None:
                raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"The topic '{name}' does not exist.")
        case ResourceType.BROKER:
            if name:
                check_broker_name(image, name)
        case ResourceType.GROUP:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Default group resources are not allowed.")
        case ResourceType.CLIENT_METRICS:
            if not name:
                raise KafkaError(ErrorCode.INVALID_REQUEST, "Subscription name can't be empty")
        case _:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown resource type {resource.type}")


def check_broker_name(image: MetadataImage, name: str) -> None:
    """Raise KafkaError(INVALID_REQUEST) unless `name` is the id of a registered broker."""
    try:
        broker_id = int(name)
    except ValueError:
        message = f"Node id must be an integer, but it is: {name}"
        raise KafkaError(ErrorCode.INVALID_REQUEST, message) from None
    if broker_id not in image.brokers:
        expected = ", ".join(str(known) for known in sorted(image.brokers))
        message = f"Unexpected broker id, expected {expected}, but received {broker_id}"
        raise KafkaError(ErrorCode.INVALID_REQUEST, message)


def _checked(
    resource: ConfigResource, settings: BrokerSettings, wanted: Mapping[str, str], changed: Mapping[str, str | None]
) -> dict[str, str]:
    """`wanted`, each value as the text of its typed form. Raises KafkaError for what the resource may not have."""
    code = ErrorCode.INVALID_CONFIG
    try:
        match resource.type:
            case ResourceType.TOPIC:
                check_topic_configs(wanted)
            case ResourceType.GROUP:
                check_group_configs(wanted, settings)
            case ResourceType.BROKER:
                code = ErrorCode.INVALID_REQUEST
                check_broker_configs(wanted, changed, is_cluster_default=not resource.name)
            case _:
                check_client_metrics_configs(wanted)
        definitions = DEFINITIONS[resource.type]
        return {name: render(definitions[name].parse(value)) or "" for name, value in wanted.items()}
    except ConfigError as error:
        raise KafkaError(code, str(error)) from error


def _records(resource: ConfigResource, own: Mapping[str, str], wanted: Mapping[str, str]) -> list[ConfigRecord]:
    """The differences between what `resource` has and what it shall have."""
    records = [ConfigRecord(*resource, name, value) for name, value in wanted.items() if own.get(name) != value]
    records += (ConfigRecord(*resource, name, None) for name in own if name not in wanted)
    return records
