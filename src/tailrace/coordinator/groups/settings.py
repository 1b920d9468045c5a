"""The group coordinator's settings, by Kafka's names. Checked where they are read; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass, field

from tailrace.coordinator.consumer_groups.settings import ConsumerGroupSettings
from tailrace.coordinator.share_groups.settings import ShareGroupSettings


@dataclass(slots=True)
class GroupSettings:
    """Mutable on purpose: the owner changes a field when a setting is altered, and the next operation sees it."""

    group_initial_rebalance_delay_ms: int = 0
    """Wait of an empty group for more members. Kafka: 3000; 0 here, as in every development set-up of Kafka."""
    group_min_session_timeout_ms: int = 6_000
    group_max_session_timeout_ms: int = 1_800_000
    group_max_size: int = 2**31 - 1
    offset_metadata_max_bytes: int = 4096
    offsets_commit_timeout_ms: int = 5_000
    """How long a request waits for what it writes to be replicated."""
    offsets_retention_ms: int = 7 * 24 * 3600 * 1000
    offsets_retention_check_interval_ms: int = 600_000
    offsets_topic_num_partitions: int = 50
    """Fixed once the topic exists: a group's partition depends on it."""
    consumer: ConsumerGroupSettings = field(default_factory=ConsumerGroupSettings)
    """What groups of the consumer protocol obey."""
    share: ShareGroupSettings = field(default_factory=ShareGroupSettings)
    """What share groups obey."""
