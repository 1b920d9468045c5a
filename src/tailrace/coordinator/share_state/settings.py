"""The share coordinator's settings, by Kafka's names. Checked where they are read; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class ShareStateSettings:
    """Mutable on purpose: `node` puts the number of partitions in when the topic exists."""

    share_coordinator_snapshot_update_records_per_snapshot: int = 500
    share_coordinator_state_topic_num_partitions: int = 4
    """Fixed once the topic exists: a key's partition depends on it."""
    share_coordinator_write_timeout_ms: int = 5_000
    """How long a request waits for what it writes to be replicated."""
