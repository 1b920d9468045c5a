"""The group coordinator's settings, from the broker's."""

from __future__ import annotations

from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.groups.settings import GroupSettings

_MINUTE_MS = 60_000


def group_settings(settings: BrokerSettings) -> GroupSettings:
    """What `GroupCoordinator` obeys, as the broker's settings are now."""
    made = GroupSettings()
    apply_group_settings(made, settings)
    made.offsets_topic_num_partitions = settings.integer("offsets.topic.num.partitions")
    return made


def apply_group_settings(target: GroupSettings, settings: BrokerSettings) -> None:
    """Change what may change while groups are served; the number of partitions may not."""
    target.group_initial_rebalance_delay_ms = settings.integer("group.initial.rebalance.delay.ms")
    target.group_min_session_timeout_ms = settings.integer("group.min.session.timeout.ms")
    target.group_max_session_timeout_ms = settings.integer("group.max.session.timeout.ms")
    target.group_max_size = settings.integer("group.max.size")
    target.offset_metadata_max_bytes = settings.integer("offset.metadata.max.bytes")
    target.offsets_commit_timeout_ms = settings.integer("offsets.commit.timeout.ms")
    target.offsets_retention_ms = settings.integer("offsets.retention.minutes") * _MINUTE_MS
    target.offsets_retention_check_interval_ms = settings.integer("offsets.retention.check.interval.ms")
    consumer = target.consumer
    consumer.group_consumer_session_timeout_ms = settings.integer("group.consumer.session.timeout.ms")
    consumer.group_consumer_heartbeat_interval_ms = settings.integer("group.consumer.heartbeat.interval.ms")
    consumer.group_consumer_assignment_interval_ms = settings.integer("group.consumer.assignment.interval.ms")
    consumer.group_consumer_max_size = settings.integer("group.consumer.max.size")
    consumer.group_consumer_assignors = tuple(settings.names("group.consumer.assignors"))
    consumer.group_consumer_migration_policy = settings.text("group.consumer.migration.policy") or "bidirectional"
    share = target.share
    share.group_share_session_timeout_ms = settings.integer("group.share.session.timeout.ms")
    share.group_share_heartbeat_interval_ms = settings.integer("group.share.heartbeat.interval.ms")
    share.group_share_max_size = settings.integer("group.share.max.size")
    share.group_share_assignment_interval_ms = settings.integer("group.share.assignment.interval.ms")
