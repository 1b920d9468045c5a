"""What consumer groups obey, by Kafka's names. Checked where they are read; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ConsumerGroupSettings:
    """Mutable on purpose: the owner changes a field when a setting is altered, and the next operation sees it."""

    group_consumer_session_timeout_ms: int = 45_000
    group_consumer_heartbeat_interval_ms: int = 5_000
    group_consumer_assignment_interval_ms: int = 1_000
    """Longest pause between two assignments of a group that is costly to assign."""
    group_consumer_max_size: int = 2**31 - 1
    group_consumer_assignors: tuple[str, ...] = ("uniform", "range")
    """Most wanted first: the first is used while no member asks for one."""
    group_consumer_migration_policy: str = "bidirectional"
    """Whether groups with members change their protocol: also upgrade, downgrade, disabled. Whatever the case."""

    @property
    def is_upgrade_enabled(self) -> bool:
        """Whether a classic group becomes a consumer group when a member of the consumer protocol joins."""
        return self.group_consumer_migration_policy.lower() in ("bidirectional", "upgrade")

    @property
    def is_downgrade_enabled(self) -> bool:
        """Whether a consumer group becomes a classic one when only classic members are left."""
        return self.group_consumer_migration_policy.lower() in ("bidirectional", "downgrade")
