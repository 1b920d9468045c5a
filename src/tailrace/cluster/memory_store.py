"""Metadata in memory: for tests, and for brokers that keep nothing. Several `Metadata` may share one."""

from __future__ import annotations

from collections.abc import Sequence

from tailrace.base.clock import Clock
from tailrace.cluster.records import Record, decode_records, encode_records
from tailrace.cluster.store import Batch, Loaded, StaleVersion, Watcher


class _Batches:
    """The log itself, which several stores may look at."""

    def __init__(self) -> None:
        self.version = 0
        self.texts: list[str] = []
        self.first_version = 1
        """Version that the first of `texts` makes: 1, or that of the last compaction."""
        self.watchers: list[tuple[MemoryStore, Watcher]] = []
        self.leases: dict[str, tuple[str, float]] = {}


class MemoryStore:
    """A MetadataStore without durability. Records pass through their text form, as in the others."""

    def __init__(self, clock: Clock, shared_with: MemoryStore | None = None) -> None:
        self._clock = clock
        self._batches: _Batches = shared_with._batches if shared_with is not None else _Batches()

    def load(self) -> Loaded:
        records = [record for text in self._batches.texts for record in decode_records(text)]
        return Loaded(self._batches.version, records)

    def load_after(self, version: int) -> list[Batch] | None:
        batches = self._batches
        first = batches.first_version
        if version < first and first > 1:
            return None
        found = enumerate(batches.texts, first)
        return [Batch(number, decode_records(text)) for number, text in found if number > version]

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        batches = self._batches
        if expected_version != batches.version:
            raise StaleVersion(f"metadata is at version {batches.version}, not {expected_version}")
        text = encode_records(records)
        batches.texts.append(text)
        batches.version += 1
        for store, watcher in list(batches.watchers):
            if store is not self:
                watcher.on_batch(batches.version, decode_records(text))
        return batches.version

    def compact(self, version: int, records: Sequence[Record]) -> None:
        batches = self._batches
        if version != batches.version:
            raise StaleVersion(f"metadata is at version {batches.version}, not {version}")
        batches.texts = [encode_records(records)]
        batches.first_version = version

    def read_version(self) -> int:
        return self._batches.version

    def watch(self, watcher: Watcher) -> None:
        self._batches.watchers.append((self, watcher))

    def acquire_lease(self, name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        now = self._clock.monotonic_ms()
        owner, until = self._batches.leases.get(name, (holder, now))
        if owner not in (holder, instead_of) and until > now:
            return False
        self._batches.leases[name] = (holder, now + ttl_ms)
        if owner != holder or until <= now:
            self._tell_leases()
        return True

    def release_lease(self, name: str, holder: str) -> None:
        if self._batches.leases.get(name, ("", 0.0))[0] == holder:
            del self._batches.leases[name]
            self._tell_leases()

    def read_leases(self) -> dict[str, str]:
        now = self._clock.monotonic_ms()
        return {name: owner for name, (owner, until) in self._batches.leases.items() if until > now}

    def _tell_leases(self) -> None:
        """Tell the others. That a lease ran out is told to nobody: only who looks sees it."""
        for store, watcher in list(self._batches.watchers):
            if store is not self:
                watcher.on_leases()

    def close(self) -> None:
        self._batches.watchers = [entry for entry in self._batches.watchers if entry[0] is not self]
