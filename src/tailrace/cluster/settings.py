"""The settings one broker runs by: its file and command line, what was altered while it ran, and the defaults.

For every name the first source that has a value wins:

    DYNAMIC_BROKER          altered on this broker          (AlterConfigs, resource "4:<node id>")
    DYNAMIC_DEFAULT_BROKER  altered on all brokers          (AlterConfigs, resource "4:")
    STATIC_BROKER           file, command line
    DEFAULT

A name with stronger synonyms (`log.retention.ms` over `.minutes` over `.hours`) is looked up under all of them within
one source before the next source is asked. Values are checked before they get here.
Not its business: topic settings (`topic_settings`). Source: Kafka DynamicBrokerConfig.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from itertools import dropwhile
from typing import Final, NamedTuple

from tailrace.base.config import ConfigValue, render
from tailrace.base.errors import ConfigError
from tailrace.cluster.broker_configs import BROKER_CONFIGS, DYNAMIC_ONLY, SYNONYMS


class ConfigSource(IntEnum):
    """Where a value comes from; the numbers are those of DescribeConfigs."""

    UNKNOWN = 0
    DYNAMIC_TOPIC = 1
    DYNAMIC_BROKER = 2
    DYNAMIC_DEFAULT_BROKER = 3
    STATIC_BROKER = 4
    DEFAULT = 5
    DYNAMIC_BROKER_LOGGER = 6
    CLIENT_METRICS = 7
    GROUP = 8


class Synonym(NamedTuple):
    """One source's value for a setting, under the name it has there. `value` is text."""

    name: str
    value: str
    source: ConfigSource


_EMPTY: Final[Mapping[str, str]] = {}


class BrokerSettings:
    """Typed settings of this broker, by Kafka's name. One owner: `Metadata`, which hands it each change."""

    __slots__ = ("_cache", "_cluster_default", "_per_broker", "_static")

    def __init__(self, static: Mapping[str, str] | None = None) -> None:
        """`static`: text by name. Raises ConfigError for an unknown name or a refused value."""
        self._static = {name: check_static(name, value) for name, value in (static or {}).items()}
        self._per_broker: Mapping[str, str] = _EMPTY
        self._cluster_default: Mapping[str, str] = _EMPTY
        self._cache: dict[str, ConfigValue] = {}

    def set_dynamic(self, per_broker: Mapping[str, str], cluster_default: Mapping[str, str]) -> None:
        """Replace what was altered while the broker runs."""
        self._per_broker = dict(per_broker)
        self._cluster_default = dict(cluster_default)
        self._cache.clear()

    def settle(self, values: Mapping[str, str]) -> None:
        """Note what the broker decided at start for settings nobody gave: its addresses, directories, id.

        They are shown as static from then on, for that is what they are. Raises ConfigError for a refused value.
        """
        for name, value in values.items():
            self._static.setdefault(name, check_static(name, value))
        self._cache.clear()

    def __getitem__(self, name: str) -> ConfigValue:
        """The typed value in force. ConfigError for an unknown name."""
        try:
            return self._cache[name]
        except KeyError:
            value = self._cache[name] = self._resolve(name)
            return value

    def integer(self, name: str) -> int:
        """The value of a boolean-free whole-number setting that cannot be unset."""
        value = self[name]
        assert isinstance(value, int), name
        return value

    def boolean(self, name: str) -> bool:
        """The value of a boolean setting."""
        value = self[name]
        assert isinstance(value, bool), name
        return value

    def number(self, name: str) -> float:
        """The value of a setting of type double."""
        value = self[name]
        assert isinstance(value, float), name
        return value

    def text(self, name: str) -> str | None:
        """The value of a string setting; None when unset."""
        value = self[name]
        assert value is None or isinstance(value, str), name
        return value

    def names(self, name: str) -> tuple[str, ...]:
        """The value of a list setting; empty when unset."""
        value = self[name]
        assert value is None or isinstance(value, tuple), name
        return value or ()

    def is_given(self, name: str) -> bool:
        """Whether somebody has set it: in the file, on the command line, or while the broker runs."""
        return name in self._static or name in self._per_broker or name in self._cluster_default

    def static_names(self) -> list[str]:
        """Names that the file or the command line set."""
        return list(self._static)

    def synonyms(self, name: str) -> list[Synonym]:
        """Every source's value for `name`, the one in force first.

        Values of a stronger synonym come first; what precedes the first value under `name` itself is left out, so that
        `log.retention.hours` does not show `log.retention.ms`. Source: Kafka ConfigHelper.configSynonyms.
        """
        names = SYNONYMS.get(name, (name,))
        found = [
            Synonym(synonym, values[synonym], source)
            for values, source in (
                (self._per_broker, ConfigSource.DYNAMIC_BROKER),
                (self._cluster_default, ConfigSource.DYNAMIC_DEFAULT_BROKER),
                (self._static, ConfigSource.STATIC_BROKER),
            )
            for synonym in names
            if synonym in values
        ]
        for synonym in names:
            default = None if synonym in DYNAMIC_ONLY else BROKER_CONFIGS[synonym].default
            if default is not None:
                found.append(Synonym(synonym, default, ConfigSource.DEFAULT))
        return list(dropwhile(lambda entry: entry.name != name, found))

    def _resolve(self, name: str) -> ConfigValue:
        definition = BROKER_CONFIGS[name]
        if name in self._per_broker:
            return definition.parse(self._per_broker[name])
        if name in self._cluster_default:
            return definition.parse(self._cluster_default[name])
        if name in self._static:
            return definition.parse(self._static[name])
        return BROKER_CONFIGS.typed_default(name)


def check_static(name: str, value: str) -> str:
    """`value`, when it may be given for `name` at start. ConfigError otherwise."""
    definition = BROKER_CONFIGS.get(name)
    if definition is None or name in DYNAMIC_ONLY:
        raise ConfigError(name, f"Unknown configuration {name} (value {value})")
    return render(definition.parse(value)) or ""
