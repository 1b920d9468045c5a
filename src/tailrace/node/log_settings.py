"""A topic's settings as its logs obey them: from Kafka's names and checked values to `LogConfig`."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import Any

from tailrace.base.config import ConfigValue
from tailrace.log.config import LogConfig

_FIELDS = {field.name.replace("_", "."): field.name for field in fields(LogConfig)}
"""Kafka's name -> field. `producer.id.expiration.ms` is the one broker-wide setting among them."""


def log_config(topic: Mapping[str, ConfigValue], producer_id_expiration_ms: int) -> LogConfig:
    """The `LogConfig` of a topic whose effective settings are `topic`."""
    values: dict[str, Any] = {field: topic[name] for name, field in _FIELDS.items() if name in topic}
    values["cleanup_policy"] = frozenset(values["cleanup_policy"])
    values["producer_id_expiration_ms"] = producer_id_expiration_ms
    return LogConfig(**values)
