"""Settings as DescribeConfigs shows them: value, source, and every value behind it. Pure.

Every setting of a resource is listed, set or not: clients of the older AlterConfigs read all, change one, write all
back. Secrets are listed without their value. Source: Kafka ConfigHelper.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from tailrace.base.config import ConfigDef, UpdateMode, render
from tailrace.cluster.broker_configs import BROKER_CONFIGS, DYNAMIC_ONLY
from tailrace.cluster.group_configs import CLIENT_METRICS_CONFIGS, GROUP_BROKER_SYNONYMS, GROUP_CONFIGS
from tailrace.cluster.settings import BrokerSettings, ConfigSource, Synonym
from tailrace.cluster.topic_configs import BROKER_SYNONYMS, TOPIC_CONFIGS
from tailrace.cluster.topic_settings import inherited_topic_config


class ConfigEntry(NamedTuple):
    """One setting. `value` is text; None when unset or secret. `synonyms`: the one in force first."""

    definition: ConfigDef
    value: str | None
    source: ConfigSource
    synonyms: list[Synonym]

    @property
    def is_read_only(self) -> bool:
        """Whether it can change only at start."""
        return self.definition.update is UpdateMode.READ_ONLY


def topic_entries(own: Mapping[str, str], settings: BrokerSettings) -> list[ConfigEntry]:
    """Every setting of a topic that has `own` set."""
    entries = []
    for definition in TOPIC_CONFIGS:
        name = definition.name
        broker_names = BROKER_SYNONYMS.get(name)
        synonyms = settings.synonyms(broker_names[0][0]) if broker_names else []
        if name in own:
            synonyms.insert(0, Synonym(name, own[name], ConfigSource.DYNAMIC_TOPIC))
            value: str | None = own[name]
        else:
            value = render(inherited_topic_config(name, settings))
        entries.append(_entry(definition, value, synonyms))
    return entries


def broker_entries(settings: BrokerSettings) -> list[ConfigEntry]:
    """Every setting of this broker."""
    entries = []
    for definition in BROKER_CONFIGS:
        synonyms = settings.synonyms(definition.name)
        if synonyms or definition.name not in DYNAMIC_ONLY:
            entries.append(_entry(definition, render(settings[definition.name]), synonyms))
    return entries


def cluster_default_entries(own: Mapping[str, str]) -> list[ConfigEntry]:
    """What is set for all brokers; nothing else is listed, as in Kafka."""
    source = ConfigSource.DYNAMIC_DEFAULT_BROKER
    return [_entry(BROKER_CONFIGS[name], value, [Synonym(name, value, source)]) for name, value in own.items()]


def group_entries(own: Mapping[str, str], settings: BrokerSettings) -> list[ConfigEntry]:
    """Every setting of a group that has `own` set."""
    entries = []
    for definition in GROUP_CONFIGS:
        name = definition.name
        broker_name = GROUP_BROKER_SYNONYMS.get(name)
        if broker_name is None:
            synonyms = [Synonym(name, definition.default or "", ConfigSource.DEFAULT)]
            value = definition.default
        else:
            synonyms = settings.synonyms(broker_name)
            value = render(settings[broker_name])
        if name in own:
            value = own[name]
            synonyms.insert(0, Synonym(name, value, ConfigSource.GROUP))
        entries.append(_entry(definition, value, synonyms))
    return entries


def client_metrics_entries(own: Mapping[str, str]) -> list[ConfigEntry]:
    """Every setting of a client-metrics subscription that has `own` set."""
    return [
        _entry(
            definition,
            own.get(definition.name, definition.default),
            [Synonym(definition.name, own[definition.name], ConfigSource.CLIENT_METRICS)]
            if definition.name in own
            else [],
        )
        for definition in CLIENT_METRICS_CONFIGS
    ]


def _entry(definition: ConfigDef, value: str | None, synonyms: list[Synonym]) -> ConfigEntry:
    source = synonyms[0].source if synonyms else ConfigSource.DEFAULT
    return ConfigEntry(definition, None if definition.is_sensitive else value, source, synonyms)
