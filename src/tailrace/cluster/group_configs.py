"""Every group setting and client-metrics setting of Kafka 4.3, and the broker settings a group's fall back to.

Rows as in `topic_configs`. Consumer groups and share groups obey theirs; those of streams groups are kept for the tools
that list and set them. Source: Kafka GroupConfig, ClientMetricsConfigs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.base.config import ConfigDefs

GROUP_CONFIGS: Final = ConfigDefs(
    (
        ("consumer.assignment.interval.ms", "INT", "1000", (0, None), "medium", 2),
        ("consumer.heartbeat.interval.ms", "INT", "5000", (1, None), "medium", 2),
        ("consumer.session.timeout.ms", "INT", "45000", (1, None), "medium", 2),
        ("share.assignment.interval.ms", "INT", "1000", (0, None), "medium", 2),
        ("share.auto.offset.reset", "STRING", "latest", "offset-reset", "medium", 2),
        ("share.delivery.count.limit", "INT", "5", (2, None), "medium", 2),
        ("share.heartbeat.interval.ms", "INT", "5000", (1, None), "medium", 2),
        ("share.isolation.level", "STRING", "read_uncommitted", ("read_committed", "read_uncommitted"), "medium", 2),
        ("share.partition.max.record.locks", "INT", "2000", (100, None), "medium", 2),
        ("share.record.lock.duration.ms", "INT", "30000", (1000, None), "medium", 2),
        ("share.renew.acknowledge.enable", "BOOLEAN", "true", None, "medium", 2),
        ("share.session.timeout.ms", "INT", "45000", (1, None), "medium", 2),
        ("streams.assignment.interval.ms", "INT", "1000", (0, None), "medium", 2),
        ("streams.heartbeat.interval.ms", "INT", "5000", (1, None), "medium", 2),
        ("streams.initial.rebalance.delay.ms", "INT", "3000", (0, None), "medium", 2),
        ("streams.num.standby.replicas", "INT", "0", (0, None), "medium", 2),
        ("streams.session.timeout.ms", "INT", "45000", (1, None), "medium", 2),
    )
)

GROUP_BROKER_SYNONYMS: Final[Mapping[str, str]] = {
    definition.name: f"group.{definition.name}"
    for definition in GROUP_CONFIGS
    if definition.name not in ("share.auto.offset.reset", "share.isolation.level", "share.renew.acknowledge.enable")
}
"""Group setting -> the broker setting that gives its default."""

CLIENT_METRICS_CONFIGS: Final = ConfigDefs(
    (
        ("interval.ms", "INT", "300000", None, "medium", 2),
        ("match", "LIST", "", None, "medium", 2),
        ("metrics", "LIST", "", None, "medium", 2),
    )
)
