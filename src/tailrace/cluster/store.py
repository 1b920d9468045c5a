"""Where metadata is kept: the contract every store fulfils (memory, SQLite, etcd).

A store is an ordered log of batches of records. Version n is the log after its n-th append; 0 is empty. A batch is
either wholly there or not at all, and once `append` returned it survives a crash of the process and of the machine (the
memory store excepted). Every call but `watch` may wait for a disk or a network; one is made at a time, from whatever
thread. What is not promised: history; `compact` may replace it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

from tailrace.base.errors import TailraceError
from tailrace.cluster.records import Record


class StaleVersion(TailraceError):
    """Somebody else appended first: load what they wrote and decide again."""


class StoreUnavailable(TailraceError):
    """The store does not answer. Whether what was asked of it happened is not known."""


class Loaded(NamedTuple):
    """What a store holds."""

    version: int
    records: list[Record]


class Batch(NamedTuple):
    """One append: the version it made, and its records."""

    version: int
    records: list[Record]


class Watcher(NamedTuple):
    """What a store calls, in the owner's thread, when others changed something."""

    on_batch: Callable[[int, Sequence[Record]], object]
    """(version, records) of a batch, in order. One that this process appended may be among them."""
    on_behind: Callable[[], object]
    """Batches were missed, and are not told any more: read what is newer."""
    on_leases: Callable[[], object]
    """A lease came or went; `read_leases` says which there are."""


class MetadataStore(Protocol):
    """Load, compare-and-append, watch, lease."""

    def load(self) -> Loaded:
        """Every record, in order, and the version they make."""
        ...

    def load_after(self, version: int) -> list[Batch] | None:
        """The batches after `version`, in order, without a gap; None when `compact` took one of them: load whole."""
        ...

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        """Add one batch after `expected_version`; returns the new version.

        Raises StaleVersion when the log has moved on; StorageError (operation "commit") when it cannot be written.
        """
        ...

    def compact(self, version: int, records: Sequence[Record]) -> None:
        """Replace the history up to `version` by `records`, which replay to the same image. Versions stay."""
        ...

    def read_version(self) -> int:
        """The version of the log as everybody sees it, not as it was when this process last heard of it."""
        ...

    def watch(self, watcher: Watcher) -> None:
        """Tell `watcher` what other processes change from the last `load` on. Called once."""
        ...

    def acquire_lease(self, name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        """Hold or renew the lease `name` for at least `ttl_ms` from now; False while another holder's is running.

        `instead_of`: a holder that is known to be dead, whose lease is taken over at once.
        """
        ...

    def release_lease(self, name: str, holder: str) -> None:
        """Let others have the lease now, if `holder` holds it."""
        ...

    def read_leases(self) -> dict[str, str]:
        """Every lease that runs, by name, with its holder."""
        ...

    def close(self) -> None:
        """Release what the store holds open."""
        ...
