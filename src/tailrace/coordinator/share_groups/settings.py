"""What share groups obey, by Kafka's names. Checked where they are read; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ShareGroupSettings:
    """Mutable on purpose: the owner changes a field when a setting is altered, and the next operation sees it."""

    group_share_session_timeout_ms: int = 45_000
    group_share_heartbeat_interval_ms: int = 5_000
    group_share_max_size: int = 200
    group_share_assignment_interval_ms: int = 1_000
    """Shortest time between two assignments of one group."""
