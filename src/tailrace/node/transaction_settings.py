"""The transaction coordinator's settings, from the broker's."""

from __future__ import annotations

from tailrace.cluster.settings import BrokerSettings
from tailrace.coordinator.transactions.settings import TransactionSettings


def transaction_settings(settings: BrokerSettings) -> TransactionSettings:
    """What `TransactionCoordinator` obeys, as the broker's settings are at start: none of them may change later."""
    return TransactionSettings(
        transaction_max_timeout_ms=settings.integer("transaction.max.timeout.ms"),
        transactional_id_expiration_ms=settings.integer("transactional.id.expiration.ms"),
        transaction_abort_timed_out_transaction_cleanup_interval_ms=settings.integer(
            "transaction.abort.timed.out.transaction.cleanup.interval.ms"
        ),
        transaction_remove_expired_transaction_cleanup_interval_ms=settings.integer(
            "transaction.remove.expired.transaction.cleanup.interval.ms"
        ),
        offsets_commit_timeout_ms=settings.integer("offsets.commit.timeout.ms"),
        transaction_state_log_num_partitions=settings.integer("transaction.state.log.num.partitions"),
    )
