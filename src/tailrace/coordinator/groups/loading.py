"""What is left of a partition's log when it is loaded: the last word on each key, and the transactions still open.

The log repeats a busy key thousands of times between two compactions, and what came before says nothing: only what is
left is looked into. A commit marker makes its producer's records part of the log where the records stand, not where
the marker does: a later plain record of the same key is newer than they are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

from tailrace.coordinator.groups.shard import GroupShard
from tailrace.coordinator.limits import RECORDS_PER_STEP
from tailrace.coordinator.ports import CoordinatorRecord, LogEntry, TransactionalRecord, TransactionEnd


class _Written(NamedTuple):
    """A record and its place in the log."""

    place: int
    record: CoordinatorRecord


class Remains:
    """Gathers what is left of a log. Feed it the entries in order, then ask once."""

    __slots__ = ("_is_sorted", "_latest", "_open_transactions", "_place")

    def __init__(self) -> None:
        self._latest: dict[bytes, _Written] = {}
        self._is_sorted = True
        """Whether `_latest` has the order of the log, as long as no transaction's records came true after others."""
        self._open_transactions: dict[int, dict[bytes, _Written]] = {}
        self._place = 0

    def add(self, entry: LogEntry) -> None:
        """The next entry of the log."""
        place = self._place = self._place + 1
        if isinstance(entry, TransactionEnd):
            ended = self._open_transactions.pop(entry.producer_id, None)
            if ended is not None and entry.is_commit:
                self._is_sorted = False
                _merge(self._latest, ended)
        elif isinstance(entry, TransactionalRecord):
            written = self._open_transactions.setdefault(entry.producer_id, {})
            written[entry.record.key] = _Written(place, entry.record)
        elif entry.value is not None:
            self._latest.pop(entry.key, None)
            self._latest[entry.key] = _Written(place, entry)
        else:
            self._latest.pop(entry.key, None)
            for waiting in self._open_transactions.values():
                waiting.pop(entry.key, None)

    def found(self) -> Iterable[CoordinatorRecord | TransactionalRecord]:
        """What to replay, in the order of the log: last values without tombstones, and records of open transactions."""
        if self._is_sorted and not self._open_transactions:
            return (written.record for written in self._latest.values())
        found: list[tuple[int, CoordinatorRecord | TransactionalRecord]] = list(self._latest.values())
        for producer_id, waiting in self._open_transactions.items():
            found += [(place, TransactionalRecord(producer_id, record)) for place, record in waiting.values()]
        found.sort(key=lambda written: written[0])
        return [record for _, record in found]


def remains(entries: Iterable[LogEntry]) -> list[CoordinatorRecord | TransactionalRecord]:
    """What is left of a log that is at hand."""
    gathered = Remains()
    for entry in entries:
        gathered.add(entry)
    return list(gathered.found())


def replay_log(shard: GroupShard, entries: Iterable[LogEntry]) -> Iterator[None]:
    """Bring a shard to where its log is, step by step; no further once it is closed. Raises DecodeError."""
    gathered = Remains()
    for count, entry in enumerate(entries, 1):
        gathered.add(entry)
        if count % RECORDS_PER_STEP == 0:
            yield
            if shard.is_closed:
                return
    for count, left in enumerate(gathered.found(), 1):
        if isinstance(left, TransactionalRecord):
            shard.replay_transactional(*left)
        else:
            shard.replay(left)
        if count % RECORDS_PER_STEP == 0:
            yield
            if shard.is_closed:
                return


def _merge(latest: dict[bytes, _Written], committed: dict[bytes, _Written]) -> None:
    for key, written in committed.items():
        known = latest.get(key)
        if known is None or known.place < written.place:
            latest[key] = written
