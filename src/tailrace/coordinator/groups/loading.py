"""What is left of a partition's log when it is loaded: the last word on each key, and the transactions still open.

The log repeats a busy key thousands of times between two compactions, and what came before says nothing: only what is
left is looked into. A commit marker makes its producer's records part of the log where the records stand, not where
the marker does: a later plain record of the same key is newer than they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from tailrace.coordinator.ports import CoordinatorRecord, LogEntry, TransactionalRecord, TransactionEnd


class _Written(NamedTuple):
    """A record and its place in the log."""

    place: int
    record: CoordinatorRecord


def remains(entries: Iterable[LogEntry]) -> list[CoordinatorRecord | TransactionalRecord]:
    """What to replay, in the order of the log: last values without tombstones, then records of open transactions."""
    latest: dict[bytes, _Written] = {}
    open_transactions: dict[int, dict[bytes, _Written]] = {}
    for place, entry in enumerate(entries):
        if isinstance(entry, TransactionEnd):
            ended = open_transactions.pop(entry.producer_id, None)
            if ended is not None and entry.is_commit:
                _merge(latest, ended)
        elif isinstance(entry, TransactionalRecord):
            open_transactions.setdefault(entry.producer_id, {})[entry.record.key] = _Written(place, entry.record)
        elif entry.value is not None:
            latest[entry.key] = _Written(place, entry)
        else:
            latest.pop(entry.key, None)
            for waiting in open_transactions.values():
                waiting.pop(entry.key, None)
    found: list[tuple[int, CoordinatorRecord | TransactionalRecord]] = list(latest.values())
    for producer_id, waiting in open_transactions.items():
        found += [(place, TransactionalRecord(producer_id, record)) for place, record in waiting.values()]
    found.sort(key=lambda written: written[0])
    return [record for _, record in found]


def _merge(latest: dict[bytes, _Written], committed: dict[bytes, _Written]) -> None:
    for key, written in committed.items():
        known = latest.get(key)
        if known is None or known.place < written.place:
            latest[key] = written
