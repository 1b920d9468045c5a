"""Settings given at start: a TOML file, then NAME=VALUE pairs that win over it. Names and ranges are Kafka's.

    log.retention.ms = 86400000        a dotted key, as TOML writes it
    [log.cleaner]                      or a table, for those who prefer it
    threads = 2

Every value is checked here, so that a broker never starts with a setting it does not understand.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from tailrace.base.errors import ConfigError, TailraceError
from tailrace.cluster.settings import BrokerSettings, check_static

LEADER_SELECTOR: Final = "org.apache.kafka.common.replica.LeaderSelector"
RACK_AWARE_SELECTOR: Final = "org.apache.kafka.common.replica.RackAwareReplicaSelector"


def load_settings(config_file: Path | None, overrides: Mapping[str, str]) -> dict[str, str]:
    """Checked settings as text, by name.

    Raises ConfigError for an unknown name, a wrong type or a value out of range, and TailraceError for a file that
    cannot be read or is not TOML; each in one sentence.
    """
    given = {} if config_file is None else dict(_flatten("", _read(config_file)))
    given.update(overrides)
    return {name: check_static(name, value) for name, value in given.items()}


def knows_racks(settings: BrokerSettings) -> bool:
    """Whether consumers are sent to replicas in their racks. ConfigError for a selector that is not known here."""
    selector = settings.text("replica.selector.class")
    if selector not in (None, "", LEADER_SELECTOR, RACK_AWARE_SELECTOR):
        raise ConfigError(
            "replica.selector.class",
            f"replica.selector.class is {selector}; known are {LEADER_SELECTOR} and {RACK_AWARE_SELECTOR}.",
        )
    return selector == RACK_AWARE_SELECTOR


def _read(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise TailraceError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise TailraceError(f"the configuration {path} is not TOML: {error}") from error


def _flatten(prefix: str, table: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """(dotted name, text) of every value in a table and the tables within it."""
    for key, value in table.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            yield from _flatten(f"{name}.", value)
        elif isinstance(value, list):
            yield name, ",".join(_text(name, item) for item in value)
        else:
            yield name, _text(name, value)


def _text(name: str, value: object) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (str, int, float)):
        return str(value)
    raise ConfigError(
        name, f"{name} is a {type(value).__name__}; a setting is a string, a number, true, false or a list."
    )
