"""The share partitions of this broker, built when a member first asks for records."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from tailrace.cluster.records import ResourceType
from tailrace.node.surroundings import Surroundings

if TYPE_CHECKING:  # start-up time: most brokers see no share group
    from tailrace.broker.share.requests import ShareSettings
    from tailrace.broker.share.share_partitions import SharePartitions
    from tailrace.coordinator.share_state.ports import ShareStates

OFFSET_RESET_DEFAULT = "latest"


def share_serving(around: Surroundings, states_of: Callable[[], ShareStates]) -> Callable[[], SharePartitions]:
    """What makes them, once."""
    return partial(_share_partitions, around, states_of)


def _share_partitions(around: Surroundings, states_of: Callable[[], ShareStates]) -> SharePartitions:
    from tailrace.broker.share.live_partition import Around
    from tailrace.broker.share.share_partitions import SharePartitions
    from tailrace.broker.share.share_sessions import ShareSessions

    def offset_reset(group_id: str) -> str:
        own = around.metadata.image.configs(ResourceType.GROUP, group_id)
        return own.get("share.auto.offset.reset", OFFSET_RESET_DEFAULT)

    return SharePartitions(
        around.partitions,
        ShareSessions(around.metadata.settings.integer("group.share.max.share.sessions")),
        partial(_settings_of, around),
        Around(states_of(), around.timers, around.clock, offset_reset),
    )


def _settings_of(around: Surroundings, group_id: str) -> ShareSettings:
    """What a group obeys: its own settings over the broker's `group.share.*`."""
    from tailrace.broker.share.requests import ShareSettings

    broker = around.metadata.settings
    own = around.metadata.image.configs(ResourceType.GROUP, group_id)

    def integer(name: str) -> int:
        text = own.get(name)
        return broker.integer(f"group.{name}") if text is None else int(text)

    return ShareSettings(
        record_lock_duration_ms=integer("share.record.lock.duration.ms"),
        delivery_count_limit=integer("share.delivery.count.limit"),
        partition_max_record_locks=integer("share.partition.max.record.locks"),
        isolation_level=int(own.get("share.isolation.level") == "read_committed"),
        renew_acknowledge_enable=own.get("share.renew.acknowledge.enable", "true") == "true",
    )
