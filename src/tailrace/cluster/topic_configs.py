"""Every topic setting of Kafka 4.3, and our own: type, default, range, and the broker settings it falls back to.

A row is (name, type, default, valid, importance, update mode); see `base.config.ConfigDef`. Settings that nothing acts
on yet (tiered storage, throttling) are listed and checked all the same: tools read all, change one, and write all back.
Not its business: which source wins (`cluster.topic_settings`), and what a setting does (`log`).
Source: Kafka TopicConfig, LogConfig, ServerTopicConfigSynonyms.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.base.config import ConfigDefs, ConfigValue, render
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.own_configs import OWN_TOPIC_ROWS

TOPIC_CONFIGS: Final = ConfigDefs(
    (
        ("cleanup.policy", "LIST", "delete", ("compact", "delete"), "medium", 2),
        ("compression.gzip.level", "INT", "-1", "gzip-level", "medium", 2),
        ("compression.lz4.level", "INT", "9", (1, 17), "medium", 2),
        (
            "compression.type",
            "STRING",
            "producer",
            ("uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"),
            "medium",
            2,
        ),
        ("compression.zstd.level", "INT", "3", (-131072, 22), "medium", 2),
        ("delete.retention.ms", "LONG", "86400000", (0, None), "medium", 2),
        ("file.delete.delay.ms", "LONG", "60000", (0, None), "medium", 2),
        ("flush.messages", "LONG", "9223372036854775807", (1, None), "medium", 2),
        ("flush.ms", "LONG", "9223372036854775807", (0, None), "medium", 2),
        ("follower.replication.throttled.replicas", "LIST", "", "throttled-replicas", "medium", 2),
        ("index.interval.bytes", "INT", "4096", (0, None), "medium", 2),
        ("leader.replication.throttled.replicas", "LIST", "", "throttled-replicas", "medium", 2),
        ("local.retention.bytes", "LONG", "-2", (-2, None), "medium", 2),
        ("local.retention.ms", "LONG", "-2", (-2, None), "medium", 2),
        ("max.compaction.lag.ms", "LONG", "9223372036854775807", (1, None), "medium", 2),
        ("max.message.bytes", "INT", "1048588", (0, None), "medium", 2),
        ("message.timestamp.after.max.ms", "LONG", "3600000", (0, None), "medium", 2),
        ("message.timestamp.before.max.ms", "LONG", "9223372036854775807", (0, None), "medium", 2),
        ("message.timestamp.type", "STRING", "CreateTime", ("CreateTime", "LogAppendTime"), "medium", 2),
        ("min.cleanable.dirty.ratio", "DOUBLE", "0.5", (0, 1), "medium", 2),
        ("min.compaction.lag.ms", "LONG", "0", (0, None), "medium", 2),
        ("min.insync.replicas", "INT", "1", (1, None), "medium", 2),
        ("preallocate", "BOOLEAN", "false", None, "medium", 2),
        ("remote.log.copy.disable", "BOOLEAN", "false", None, "medium", 2),
        ("remote.log.delete.on.disable", "BOOLEAN", "false", None, "medium", 2),
        ("remote.storage.enable", "BOOLEAN", "false", None, "medium", 2),
        ("retention.bytes", "LONG", "-1", None, "medium", 2),
        ("retention.ms", "LONG", "604800000", (-1, None), "medium", 2),
        ("segment.bytes", "INT", "1073741824", (1048576, None), "medium", 2),
        ("segment.index.bytes", "INT", "10485760", (4, None), "medium", 2),
        ("segment.jitter.ms", "LONG", "0", (0, None), "medium", 2),
        ("segment.ms", "LONG", "604800000", (1, None), "medium", 2),
        ("unclean.leader.election.enable", "BOOLEAN", "false", None, "medium", 2),
        *OWN_TOPIC_ROWS,
    )
)

BROKER_SYNONYMS: Final[Mapping[str, tuple[tuple[str, int], ...]]] = {
    "retention.ms": (("log.retention.ms", 1), ("log.retention.minutes", 60_000), ("log.retention.hours", 3_600_000)),
    "segment.ms": (("log.roll.ms", 1), ("log.roll.hours", 3_600_000)),
    "segment.jitter.ms": (("log.roll.jitter.ms", 1), ("log.roll.jitter.hours", 3_600_000)),
    "flush.ms": (("log.flush.interval.ms", 1), ("log.flush.scheduler.interval.ms", 1)),
    "cleanup.policy": (("log.cleanup.policy", 1),),
    "compression.gzip.level": (("compression.gzip.level", 1),),
    "compression.lz4.level": (("compression.lz4.level", 1),),
    "compression.type": (("compression.type", 1),),
    "compression.zstd.level": (("compression.zstd.level", 1),),
    "delete.retention.ms": (("log.cleaner.delete.retention.ms", 1),),
    "file.delete.delay.ms": (("log.segment.delete.delay.ms", 1),),
    "flush.before.ack": (("log.flush.before.ack", 1),),
    "flush.messages": (("log.flush.interval.messages", 1),),
    "index.interval.bytes": (("log.index.interval.bytes", 1),),
    "local.retention.bytes": (("log.local.retention.bytes", 1),),
    "local.retention.ms": (("log.local.retention.ms", 1),),
    "max.compaction.lag.ms": (("log.cleaner.max.compaction.lag.ms", 1),),
    "max.message.bytes": (("message.max.bytes", 1),),
    "message.timestamp.after.max.ms": (("log.message.timestamp.after.max.ms", 1),),
    "message.timestamp.before.max.ms": (("log.message.timestamp.before.max.ms", 1),),
    "message.timestamp.type": (("log.message.timestamp.type", 1),),
    "min.cleanable.dirty.ratio": (("log.cleaner.min.cleanable.ratio", 1),),
    "min.compaction.lag.ms": (("log.cleaner.min.compaction.lag.ms", 1),),
    "min.insync.replicas": (("min.insync.replicas", 1),),
    "preallocate": (("log.preallocate", 1),),
    "retention.bytes": (("log.retention.bytes", 1),),
    "segment.bytes": (("log.segment.bytes", 1),),
    "segment.index.bytes": (("log.index.size.max.bytes", 1),),
    "unclean.leader.election.enable": (("unclean.leader.election.enable", 1),),
}
"""Topic setting -> broker settings that give its default, the strongest first, with the factor to the topic's unit."""


def check_topic_configs(values: Mapping[str, str | None]) -> dict[str, str]:
    """A topic's own settings as they are stored, refused as a whole: names, types, ranges, rules between settings.

    Raises ConfigError from the definitions, KafkaError(INVALID_CONFIG) for the rest, with Kafka's messages.
    """
    nulls = [name for name, value in values.items() if value is None]
    if nulls:
        raise KafkaError(ErrorCode.INVALID_CONFIG, f"Null value not supported for topic configs: {', '.join(nulls)}")
    typed: dict[str, ConfigValue] = {}
    for name, value in values.items():
        definition = TOPIC_CONFIGS.get(name)
        if definition is None:
            raise KafkaError(ErrorCode.INVALID_CONFIG, f"Unknown topic config name: {name}")
        typed[name] = definition.parse(value or "")
    low = typed.get("min.compaction.lag.ms", TOPIC_CONFIGS.typed_default("min.compaction.lag.ms"))
    high = typed.get("max.compaction.lag.ms", TOPIC_CONFIGS.typed_default("max.compaction.lag.ms"))
    assert isinstance(low, int) and isinstance(high, int)
    if low > high:
        message = f"conflict topic config setting min.compaction.lag.ms ({low}) > max.compaction.lag.ms ({high})"
        raise KafkaError(ErrorCode.INVALID_CONFIG, message)
    if typed.get("remote.storage.enable"):
        message = (
            "Tiered Storage functionality is disabled in the broker. "
            "Topic cannot be configured with remote log storage."
        )
        raise KafkaError(ErrorCode.INVALID_CONFIG, message)
    return {name: render(value) or "" for name, value in typed.items()}
