"""The settings a topic runs by: its own, or else the broker's under another name, or else the default.

`log.retention.hours=24` in the broker's file means `retention.ms=86400000` for every topic without its own; the
broker's names and their units are in `topic_configs.BROKER_SYNONYMS`. Pure.
Source: Kafka ConfigHelper, LogConfig.fromProps, KafkaConfig.extractLogConfigMap.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tailrace.base.config import ConfigDef, ConfigValue, render
from tailrace.cluster.settings import BrokerSettings, ConfigSource, Synonym
from tailrace.cluster.topic_configs import BROKER_SYNONYMS, TOPIC_CONFIGS


class ConfigEntry(NamedTuple):
    """One setting as DescribeConfigs shows it."""

    definition: ConfigDef
    value: str | None
    """Text; None when unset or secret."""
    source: ConfigSource
    synonyms: list[Synonym]
    is_read_only: bool


def effective_topic_configs(own: Mapping[str, str], settings: BrokerSettings) -> dict[str, ConfigValue]:
    """Every topic setting, typed. `own`: what is set on the topic, as checked text."""
    return {
        definition.name: definition.parse(own[definition.name])
        if definition.name in own
        else inherited_topic_config(definition.name, settings)
        for definition in TOPIC_CONFIGS
    }


def inherited_topic_config(name: str, settings: BrokerSettings) -> ConfigValue:
    """What a topic without its own value for `name` runs by, typed and in the topic's unit."""
    for broker_name, factor in BROKER_SYNONYMS.get(name, ()):
        value = settings[broker_name]
        if value is not None:
            return value * factor if factor != 1 and isinstance(value, int) and value >= 0 else value
    return TOPIC_CONFIGS.typed_default(name)


def describe_topic_configs(own: Mapping[str, str], settings: BrokerSettings) -> list[ConfigEntry]:
    """Every topic setting with its source and the values behind it, as DescribeConfigs lists them."""
    return [_topic_entry(definition, own, settings) for definition in TOPIC_CONFIGS]


def _topic_entry(definition: ConfigDef, own: Mapping[str, str], settings: BrokerSettings) -> ConfigEntry:
    name = definition.name
    names = BROKER_SYNONYMS.get(name)
    synonyms = settings.synonyms(names[0][0]) if names else []
    if name in own:
        synonyms.insert(0, Synonym(name, own[name], ConfigSource.DYNAMIC_TOPIC))
        value: str | None = own[name]
    else:
        value = render(inherited_topic_config(name, settings))
    source = synonyms[0].source if synonyms else ConfigSource.DEFAULT
    return ConfigEntry(definition, value, source, synonyms, is_read_only=False)
