"""Settings with a name, a type, a default and a range: what Kafka calls a ConfigDef.

A definition is one row of a table (the tables are in `cluster`); rows are plain tuples so that hundreds of them cost
nothing to import. A value has two forms: *text*, as a client or a file writes it, and *typed*, as the code uses it:

    type       text                     typed
    boolean    "true" | "false"         bool
    int, short, long                    int
    double                              float
    list       "a,b"                    tuple of str (no empty names, first of duplicates kept)
    string, class, password             str

A definition whose default is None may be unset: its typed value is then None. Refusals are `ConfigError`, one sentence
with the name, the value and what is allowed, in the words of Kafka's ConfigException.
Not its business: where a value comes from, or which of several sources wins. Source: Kafka ConfigDef.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple, TypeAlias

from tailrace.base.errors import ConfigError

ConfigValue: TypeAlias = bool | int | float | str | tuple[str, ...] | None
"""The typed form of a setting."""


class ConfigType(IntEnum):
    """Types of settings; the numbers are those of DescribeConfigs v3."""

    UNKNOWN = 0
    BOOLEAN = 1
    STRING = 2
    INT = 3
    SHORT = 4
    LONG = 5
    DOUBLE = 6
    LIST = 7
    CLASS = 8
    PASSWORD = 9


class UpdateMode(IntEnum):
    """How a setting may change while the broker runs."""

    READ_ONLY = 0
    """Only in the file or on the command line, at start."""
    PER_BROKER = 1
    """On one named broker."""
    CLUSTER_WIDE = 2
    """On one named broker, or on all of them at once."""


_INTEGER_RANGE = {
    ConfigType.INT: (-(2**31), 2**31 - 1),
    ConfigType.SHORT: (-(2**15), 2**15 - 1),
    ConfigType.LONG: (-(2**63), 2**63 - 1),
}
_THROTTLED_REPLICA = re.compile(r"[0-9]+:[0-9]+")
_OFFSET_RESET_DURATION = re.compile(r"by_duration:P(?=.)(\d+D)?(T(?=.)(\d+H)?(\d+M)?(\d+(\.\d+)?S)?)?")


class ConfigDef(NamedTuple):
    """One setting.

    `valid` bounds it: None; (low, high) for numbers, high None for no upper bound; names for strings and lists;
    or the name of a special rule: "non-empty", "gzip-level", "throttled-replicas", "offset-reset", "any-case:A,B".
    """

    name: str
    type: ConfigType
    default: str | None
    valid: tuple[float, float | None] | tuple[str, ...] | str | None
    importance: str
    update: UpdateMode

    @property
    def is_sensitive(self) -> bool:
        """Whether the value must never be shown."""
        return self.type is ConfigType.PASSWORD

    def parse(self, text: str) -> ConfigValue:
        """The typed form of `text`. Raises ConfigError when it is of the wrong type or out of range."""
        value = self._parse_type(text)
        if self.valid is not None:
            self._check(value)
        return value

    def parse_default(self) -> ConfigValue:
        """The typed default; a default is not checked against its own range (as in Kafka)."""
        return None if self.default is None else self._parse_type(self.default)

    def _refuse(self, shown: object, why: str) -> ConfigError:
        text = "[hidden]" if self.is_sensitive else shown
        return ConfigError(self.name, f"Invalid value {text} for configuration {self.name}: {why}")

    def _parse_type(self, text: str) -> ConfigValue:
        kind = self.type
        text = text.strip()
        if kind in _INTEGER_RANGE:
            low, high = _INTEGER_RANGE[kind]
            try:
                number = int(text) if "_" not in text else None
            except ValueError:
                number = None
            if number is None or not low <= number <= high:
                raise self._refuse(text, f"Not a number of type {kind.name}")
            return number
        if kind is ConfigType.DOUBLE:
            try:
                return float(text)
            except ValueError:
                raise self._refuse(text, "Not a number of type DOUBLE") from None
        if kind is ConfigType.BOOLEAN:
            lowered = text.lower()
            if lowered not in ("true", "false"):
                raise self._refuse(text, "Expected value to be either true or false")
            return lowered == "true"
        if kind is ConfigType.LIST:
            return parse_list(text)
        return text

    def _check(self, value: ConfigValue) -> None:
        valid = self.valid
        if isinstance(valid, str):
            self._check_special(valid, value)
        elif valid and isinstance(valid[0], str):
            for name in value if isinstance(value, tuple) else (value,):
                if name not in valid:
                    raise self._refuse(name, f"String must be one of: {', '.join(str(v) for v in valid)}")
        elif isinstance(value, int | float) and isinstance(valid, tuple):
            low, high = valid
            if isinstance(low, int | float) and not value >= low:
                raise self._refuse(value, f"Value must be at least {low}")
            if isinstance(high, int | float) and not value <= high:
                raise self._refuse(value, f"Value must be no more than {high}")

    def _check_special(self, rule: str, value: ConfigValue) -> None:
        if rule == "non-empty":
            if not value:
                raise self._refuse(value, "it must not be empty")
        elif rule == "gzip-level":
            if value != -1 and not (isinstance(value, int) and 1 <= value <= 9):
                raise self._refuse(value, "Value must be between 1 and 9 or equal to -1")
        elif rule == "throttled-replicas":
            assert isinstance(value, tuple)
            if value != ("*",) and not all(_THROTTLED_REPLICA.fullmatch(entry) for entry in value):
                wanted = "[partitionId]:[brokerId],[partitionId]:[brokerId],..."
                why = f"{self.name} must be the literal '*' or a list of replicas in the following format: {wanted}"
                raise self._refuse(f"[{', '.join(value)}]", why)
        elif rule == "offset-reset":
            text = str(value)
            if text not in ("latest", "earliest") and not _OFFSET_RESET_DURATION.fullmatch(text):
                raise self._refuse(text, "it must be latest, earliest or by_duration:PnDTnHnMn.nS")
        else:
            assert rule.startswith("any-case:"), rule
            names = rule.removeprefix("any-case:").split(",")
            if str(value).upper() not in names:
                raise self._refuse(value, f"String must be one of (case insensitive): {', '.join(names)}")


class ConfigDefs:
    """A table of definitions, by name, in the table's order."""

    __slots__ = ("_by_name", "_typed_defaults")

    def __init__(self, rows: Iterable[tuple[str, str, str | None, object, str, int]]) -> None:
        types = ConfigType.__members__
        modes = tuple(UpdateMode)
        self._by_name: dict[str, ConfigDef] = {
            row[0]: ConfigDef(row[0], types[row[1]], row[2], row[3], row[4], modes[row[5]])  # type: ignore[arg-type]
            for row in rows
        }
        self._typed_defaults: dict[str, ConfigValue] = {}

    def __contains__(self, name: object) -> bool:
        return name in self._by_name

    def __iter__(self) -> Iterator[ConfigDef]:
        return iter(self._by_name.values())

    def __len__(self) -> int:
        return len(self._by_name)

    def __getitem__(self, name: str) -> ConfigDef:
        """The definition of `name`; ConfigError for an unknown name."""
        found = self._by_name.get(name)
        if found is None:
            raise ConfigError(name, f"Unknown configuration {name}")
        return found

    def get(self, name: str) -> ConfigDef | None:
        """The definition of `name`, or None."""
        return self._by_name.get(name)

    def typed_default(self, name: str) -> ConfigValue:
        """The typed default of `name`, parsed once."""
        try:
            return self._typed_defaults[name]
        except KeyError:
            value = self[name].parse_default()
            self._typed_defaults[name] = value
            return value


def parse_list(text: str) -> tuple[str, ...]:
    """ "a, b,a" -> ("a", "b"): names trimmed, empty ones dropped, the first of duplicates kept."""
    return tuple(dict.fromkeys(name for part in text.split(",") if (name := part.strip())))


def render(value: ConfigValue) -> str | None:
    """The text of a typed value, as Kafka shows it."""
    if value is None or isinstance(value, str):
        return value
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return ",".join(value)
    if isinstance(value, float):
        return str(value).upper().replace("E+", "E")  # as Java writes a double
    return str(value)
