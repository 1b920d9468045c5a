"""The transaction coordinator's settings, by Kafka's names. Checked where they are read; here they are only values."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class TransactionSettings:
    """Mutable on purpose: the owner changes a field when a setting is altered, and the next operation sees it."""

    transaction_max_timeout_ms: int = 900_000
    transactional_id_expiration_ms: int = 7 * 24 * 3600 * 1000
    transaction_abort_timed_out_transaction_cleanup_interval_ms: int = 10_000
    transaction_remove_expired_transaction_cleanup_interval_ms: int = 3_600_000
    offsets_commit_timeout_ms: int = 5_000
    """How long a request waits for what it writes to be replicated. Kafka waits for the transaction's own timeout."""
    transaction_state_log_num_partitions: int = 50
    """Fixed once the topic exists: a transactional id's partition depends on it."""
