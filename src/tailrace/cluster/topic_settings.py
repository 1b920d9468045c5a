"""The settings a topic runs by: its own, or else the broker's under another name, or else the default.

`log.retention.hours=24` in the broker's file means `retention.ms=86400000` for every topic without its own; the
broker's names and their units are in `topic_configs.BROKER_SYNONYMS`. Pure.
Source: Kafka ConfigHelper, LogConfig.fromProps, KafkaConfig.extractLogConfigMap.
"""

from __future__ import annotations

from collections.abc import Mapping

from tailrace.base.config import ConfigValue
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.topic_configs import BROKER_SYNONYMS, TOPIC_CONFIGS


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
