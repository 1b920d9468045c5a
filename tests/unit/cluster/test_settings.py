"""Which source of a setting wins, under which name, for brokers and for topics."""

from __future__ import annotations

import pytest

from tailrace.base.config import ConfigValue
from tailrace.base.errors import ConfigError
from tailrace.cluster.broker_configs import BROKER_CONFIGS, DEVELOPMENT_DEFAULTS
from tailrace.cluster.config_docs import CONFIG_DOCS
from tailrace.cluster.group_configs import CLIENT_METRICS_CONFIGS, GROUP_BROKER_SYNONYMS, GROUP_CONFIGS
from tailrace.cluster.settings import BrokerSettings, ConfigSource
from tailrace.cluster.topic_configs import BROKER_SYNONYMS, TOPIC_CONFIGS
from tailrace.cluster.topic_settings import effective_topic_configs, inherited_topic_config

TABLES = (BROKER_CONFIGS, TOPIC_CONFIGS, GROUP_CONFIGS, CLIENT_METRICS_CONFIGS)


def test_every_default_has_its_type_and_every_setting_its_text() -> None:
    for table in TABLES:
        for definition in table:
            table.typed_default(definition.name)
            assert definition.name in CONFIG_DOCS, definition.name


def test_every_fallback_exists_and_agrees_with_the_default_of_what_falls_back() -> None:
    """A topic on a broker without any setting runs by the topic's default, whichever way it is found."""
    settings = BrokerSettings()
    for definition in TOPIC_CONFIGS:
        for broker_name, _ in BROKER_SYNONYMS.get(definition.name, ()):
            assert broker_name in BROKER_CONFIGS
        assert inherited_topic_config(definition.name, settings) == TOPIC_CONFIGS.typed_default(definition.name)
    for name, broker_name in GROUP_BROKER_SYNONYMS.items():
        assert settings[broker_name] == GROUP_CONFIGS.typed_default(name)


def test_development_defaults_differ_from_kafkas() -> None:
    for name, kafkas in DEVELOPMENT_DEFAULTS.items():
        assert BROKER_CONFIGS[name].default != kafkas
        assert kafkas in CONFIG_DOCS[name]


def test_sources_in_their_order() -> None:
    settings = BrokerSettings({"log.segment.bytes": "2000000"})
    assert settings["log.segment.bytes"] == 2_000_000
    settings.set_dynamic({}, {"log.segment.bytes": "3000000"})
    assert settings["log.segment.bytes"] == 3_000_000
    settings.set_dynamic({"log.segment.bytes": "4000000"}, {"log.segment.bytes": "3000000"})
    assert settings["log.segment.bytes"] == 4_000_000
    assert [(s.value, s.source) for s in settings.synonyms("log.segment.bytes")] == [
        ("4000000", ConfigSource.DYNAMIC_BROKER),
        ("3000000", ConfigSource.DYNAMIC_DEFAULT_BROKER),
        ("2000000", ConfigSource.STATIC_BROKER),
        ("1073741824", ConfigSource.DEFAULT),
    ]
    settings.set_dynamic({}, {})
    assert settings["log.segment.bytes"] == 2_000_000


@pytest.mark.parametrize(
    ("static", "topic_name", "value"),
    [
        ({"log.retention.hours": "2"}, "retention.ms", 7_200_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "3"}, "retention.ms", 180_000),
        ({"log.retention.hours": "2", "log.retention.minutes": "3", "log.retention.ms": "4"}, "retention.ms", 4),
        ({"log.retention.minutes": "-1"}, "retention.ms", -1),
        ({"log.roll.hours": "1"}, "segment.ms", 3_600_000),
        ({"log.roll.jitter.hours": "1", "log.roll.jitter.ms": "9"}, "segment.jitter.ms", 9),
        ({"log.flush.scheduler.interval.ms": "7"}, "flush.ms", 7),
        ({"log.flush.interval.ms": "5", "log.flush.scheduler.interval.ms": "7"}, "flush.ms", 5),
        ({"message.max.bytes": "77"}, "max.message.bytes", 77),
        ({"log.cleanup.policy": "compact, delete"}, "cleanup.policy", ("compact", "delete")),
        ({"log.cleaner.min.cleanable.ratio": "0.25"}, "min.cleanable.dirty.ratio", 0.25),
        ({"log.preallocate": "true"}, "preallocate", True),
    ],
)
def test_a_topic_inherits_from_the_broker(static: dict[str, str], topic_name: str, value: ConfigValue) -> None:
    assert effective_topic_configs({}, BrokerSettings(static))[topic_name] == value


def test_a_topics_own_setting_wins() -> None:
    own = effective_topic_configs({"retention.ms": "1"}, BrokerSettings({"log.retention.ms": "2"}))
    assert own["retention.ms"] == 1


def test_a_weaker_name_does_not_show_the_stronger_one() -> None:
    settings = BrokerSettings({"log.retention.ms": "4"})
    assert [s.name for s in settings.synonyms("log.retention.ms")] == ["log.retention.ms", "log.retention.hours"]
    assert [s.name for s in settings.synonyms("log.retention.hours")] == ["log.retention.hours"]
    assert settings.synonyms("log.retention.minutes") == []


@pytest.mark.parametrize(
    ("name", "value", "sentence"),
    [
        ("log.retention.mss", "5", "Unknown configuration log.retention.mss (value 5)"),
        ("leader.replication.throttled.rate", "5", "Unknown configuration leader.replication.throttled.rate (value 5)"),
        ("num.partitions", "0", "Invalid value 0 for configuration num.partitions: Value must be at least 1"),
        ("num.partitions", "x", "Invalid value x for configuration num.partitions: Not a number of type INT"),
        (
            "log.cleanup.policy",
            "shred",
            "Invalid value shred for configuration log.cleanup.policy: String must be one of: compact, delete",
        ),
    ],
)
def test_a_broker_does_not_start_with_what_it_does_not_understand(name: str, value: str, sentence: str) -> None:
    with pytest.raises(ConfigError) as refused:
        BrokerSettings({name: value})
    assert (refused.value.name, str(refused.value)) == (name, sentence)


def test_typed_reading() -> None:
    settings = BrokerSettings({"advertised.listeners": "PLAINTEXT://a:1, PLAINTEXT://b:2"})
    assert settings.integer("num.partitions") == 1
    assert settings.boolean("auto.create.topics.enable") is True
    assert settings.number("log.cleaner.min.cleanable.ratio") == 0.5
    assert settings.text("broker.rack") is None
    assert settings.names("advertised.listeners") == ("PLAINTEXT://a:1", "PLAINTEXT://b:2")
    assert settings.names("log.dirs") == ()
    with pytest.raises(ConfigError):
        settings["no.such.name"]
