"""Rules between settings, and what may change while a broker runs: for brokers, groups and client metrics. Pure.

Topics' rules are beside their table (`topic_configs.check_topic_configs`).
Source: Kafka DynamicBrokerConfig, GroupConfig.validate, ClientMetricsConfigs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.base.config import UpdateMode
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.broker_configs import BROKER_CONFIGS
from tailrace.cluster.group_configs import CLIENT_METRICS_CONFIGS, GROUP_BROKER_SYNONYMS, GROUP_CONFIGS
from tailrace.cluster.settings import BrokerSettings

_MATCH_KEYS: Final = frozenset(
    {
        "client_instance_id",
        "client_id",
        "client_software_name",
        "client_software_version",
        "client_source_address",
        "client_source_port",
    }
)


def check_broker_configs(
    wanted: Mapping[str, str], changed: Mapping[str, str | None], *, is_cluster_default: bool
) -> None:
    """Refuse names that do not exist, or may not change while running, or not for all brokers at once.

    Raises KafkaError(INVALID_CONFIG) for unknown names, where Kafka would keep them for a plug-in: there are none here,
    and a misspelt name that is accepted is a trap. KafkaError(INVALID_REQUEST) for the rest.
    """
    unknown = [name for name in changed if name not in BROKER_CONFIGS and name in wanted]
    if unknown:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown broker config name: {', '.join(unknown)}")
    known = [BROKER_CONFIGS[name] for name in changed if name in BROKER_CONFIGS]
    fixed = [definition.name for definition in known if definition.update is UpdateMode.READ_ONLY]
    if fixed:
        message = f"Cannot update these configs dynamically: [{', '.join(fixed)}]"
        raise KafkaError(ErrorCode.INVALID_REQUEST, message)
    single = [definition.name for definition in known if definition.update is UpdateMode.PER_BROKER]
    if is_cluster_default and single:
        names = ", ".join(single)
        message = f"Cannot update these configs at default cluster level, broker id must be specified: [{names}]"
        raise KafkaError(ErrorCode.INVALID_REQUEST, message)


def check_group_configs(wanted: Mapping[str, str], settings: BrokerSettings) -> None:
    """Refuse unknown names, bad values, and values outside the broker's limits `group.<kind>.min.` and `.max.`.

    Raises ConfigError and KafkaError(INVALID_CONFIG).
    """
    code = ErrorCode.INVALID_CONFIG
    for name, text in wanted.items():
        definition = GROUP_CONFIGS.get(name)
        if definition is None:
            raise KafkaError(code, f"Unknown group config name: {name}")
        value = definition.parse(text)
        kind, _, rest = name.partition(".")
        low, high = f"group.{kind}.min.{rest}", f"group.{kind}.max.{rest}"
        if isinstance(value, int) and low in BROKER_CONFIGS and value < settings.integer(low):
            raise KafkaError(code, f"{name} must be greater than or equal to {low}")
        if isinstance(value, int) and high in BROKER_CONFIGS and value > settings.integer(high):
            raise KafkaError(code, f"{name} must be less than or equal to {high}")
    for kind in ("consumer", "share", "streams"):
        session, heartbeat = f"{kind}.session.timeout.ms", f"{kind}.heartbeat.interval.ms"
        if _group_value(session, wanted, settings) <= _group_value(heartbeat, wanted, settings):
            raise KafkaError(code, f"{session} must be greater than {heartbeat}")


def _group_value(name: str, wanted: Mapping[str, str], settings: BrokerSettings) -> int:
    if name in wanted:
        value = GROUP_CONFIGS[name].parse(wanted[name])
        assert isinstance(value, int)
        return value
    return settings.integer(GROUP_BROKER_SYNONYMS[name])


def check_client_metrics_configs(wanted: Mapping[str, str]) -> None:
    """Refuse unknown names, an interval out of range and patterns that match nothing a client says of itself.

    Raises ConfigError, and KafkaError(INVALID_REQUEST or INVALID_CONFIG) as Kafka does.
    """
    for name, text in wanted.items():
        definition = CLIENT_METRICS_CONFIGS.get(name)
        if definition is None:
            raise KafkaError(ErrorCode.INVALID_REQUEST, f"Unknown client metrics configuration: {name}")
        value = definition.parse(text)
        if name == "interval.ms" and isinstance(value, int) and not 100 <= value <= 3_600_000:
            message = f"Invalid value {value} for interval.ms, interval must be between 100 and 3600000 (1 hour)"
            raise KafkaError(ErrorCode.INVALID_REQUEST, message)
        if name == "match" and isinstance(value, tuple):
            for pattern in value:
                key, equals, expression = pattern.partition("=")
                if key.strip() not in _MATCH_KEYS or not equals or not expression.strip():
                    raise KafkaError(ErrorCode.INVALID_CONFIG, f"Illegal client matching pattern: {pattern}")
