"""Settings of topics and brokers: described with what they mean, and altered one by one (IncrementalAlterConfigs).

Asked over plain TCP, for the descriptions, which librdkafka does not pass on; of a cluster with TLS or SASL through
librdkafka, without them. A sensitive value is never told, not even where a broker should send it.
"""

from __future__ import annotations

from enum import Enum
from typing import Any, Final

from confluent_kafka.admin import AlterConfigOpType, ConfigEntry, ConfigResource, ConfigSource, ResourceType

from tailrace.console.asked import list_of, texts_of
from tailrace.console.kafka import KafkaCluster
from tailrace.console.limits import ANSWER_TIMEOUT_S
from tailrace.console.problems import bad_request, of_code
from tailrace.wire.api import ApiKey
from tailrace.wire.messages.describe_configs import DescribeConfigsRequest, DescribeConfigsResource

_SOURCES: Final = {1: "topic", 2: "broker", 3: "cluster", 4: "static", 5: "default", 8: "group"}
_TYPES: Final = {
    1: "boolean", 2: "string", 3: "int", 4: "short", 5: "long", 6: "double", 7: "list", 8: "class", 9: "password"
}  # fmt: skip


class Resource(Enum):
    """What has settings, and Kafka's number of it."""

    TOPIC = 2
    BROKER = 4


async def describe(kafka: KafkaCluster, kind: Resource, name: str) -> list[dict[str, Any]]:
    """Every setting, by name. A broker's are asked of the broker itself."""
    if not kafka.options.is_plain:
        return await _through_librdkafka(kafka, kind, name)
    resource = DescribeConfigsResource(kind.value, name, None)
    request = DescribeConfigsRequest([resource], include_synonyms=True, include_documentation=True)
    broker = (await kafka.broker_addresses()).get(int(name)) if kind is Resource.BROKER else None
    answer = await kafka.ask(ApiKey.DESCRIBE_CONFIGS, request, broker)
    (found,) = answer.results
    if found.error_code:
        raise of_code(found.error_code, f"The settings of {name} cannot be had", found.error_message)
    return sorted((_config(each) for each in found.configs), key=lambda each: str(each["name"]))


async def describe_many(kafka: KafkaCluster, topics: list[str], names: list[str]) -> dict[str, dict[str, str | None]]:
    """A few settings of several topics, {topic: {name: value}}; empty where they cannot be had."""
    if not topics or not kafka.options.is_plain:
        return {}
    resources = [DescribeConfigsResource(Resource.TOPIC.value, topic, names) for topic in topics]
    answer = await kafka.ask(ApiKey.DESCRIBE_CONFIGS, DescribeConfigsRequest(resources))
    return {found.resource_name: {each.name: each.value for each in found.configs} for found in answer.results}


async def alter(kafka: KafkaCluster, kind: Resource, name: str, asked: dict[str, Any]) -> None:
    """Set and reset what `asked` names: `set`, `reset`, `validate_only`. All of it or nothing."""
    entries = [
        ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET)
        for key, value in texts_of(asked, "set").items()
    ] + [ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in list_of(asked, "reset")]
    if not entries:
        raise bad_request("Nothing is to be changed.", 'Give "set" or "reset".')
    resource = ConfigResource(ResourceType(kind.value), name, incremental_configs=entries)
    admin = await kafka.admin()
    futures = await kafka.call(
        lambda: admin.incremental_alter_configs(
            [resource], validate_only=bool(asked.get("validate_only")), request_timeout=ANSWER_TIMEOUT_S
        )
    )
    await kafka.answer(futures[resource], "The settings were not changed")


def _config(told: Any) -> dict[str, Any]:
    # a synonym of another name may be in another unit, as log.retention.hours is of retention.ms
    names = (told.name, f"log.{told.name}")
    default = next((each.value for each in told.synonyms
                    if each.source == ConfigSource.DEFAULT_CONFIG.value and each.name in names), None)  # fmt: skip
    source = _SOURCES.get(told.config_source, "default")
    if source == "default":
        default = told.value
    return {
        "name": told.name,
        "value": None if told.is_sensitive else told.value,
        "default": None if told.is_sensitive else default,
        "is_default": source not in ("topic", "broker", "group"),
        "source": source,
        "type": _TYPES.get(told.config_type),
        "documentation": told.documentation or None,
        "is_read_only": told.read_only,
        "is_sensitive": told.is_sensitive,
    }


async def _through_librdkafka(kafka: KafkaCluster, kind: Resource, name: str) -> list[dict[str, Any]]:
    admin = await kafka.admin()
    resource = ConfigResource(ResourceType(kind.value), name)
    futures = await kafka.call(lambda: admin.describe_configs([resource], request_timeout=ANSWER_TIMEOUT_S))
    found = await kafka.answer(futures[resource], "The settings cannot be had")
    return [_entry(each) for _, each in sorted(found.items())]


def _entry(told: ConfigEntry) -> dict[str, Any]:
    number: Any = told.source  # an int, whatever its stub says
    source = _SOURCES.get(number, "default")
    value = None if told.is_sensitive else told.value
    return {
        "name": told.name,
        "value": value,
        "default": value if source == "default" else None,
        "is_default": source not in ("topic", "broker", "group"),
        "source": source,
        "type": None,
        "documentation": None,
        "is_read_only": bool(told.is_read_only),
        "is_sensitive": bool(told.is_sensitive),
    }
