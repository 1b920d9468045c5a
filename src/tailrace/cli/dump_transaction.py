"""Records of `__transaction_state` in words: what was known of a transactional id."""

from __future__ import annotations

from typing import Any

from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.transactions.records import read_record
from tailrace.wire.primitives import DecodeError


def describe_transaction_record(key: bytes | None, value: bytes | None) -> dict[str, Any] | None:
    """The record's meaning; None where its kind is not known here or it does not parse. No value: a tombstone."""
    if key is None:
        return None
    try:
        entry = read_record(CoordinatorRecord(key, value))
    except DecodeError:
        return None
    if entry is None:
        return None
    shown: dict[str, Any] = {"type": "transaction", "transactional_id": entry.transactional_id}
    known = entry.transaction
    if known is None:
        return shown | {"tombstone": True}
    return shown | {
        "state": known.state.title,
        "producer_id": known.producer_id,
        "producer_epoch": known.producer_epoch,
        "next_producer_id": known.next_producer_id,
        "timeout_ms": known.timeout_ms,
        "start_timestamp": known.start_ms,
        "last_update_timestamp": known.last_update_ms,
        "partitions": [str(partition) for partition in sorted(known.partitions)],
        "client_transaction_version": known.client_version,
    }
