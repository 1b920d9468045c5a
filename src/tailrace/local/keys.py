"""What etcd keeps, as far as brokers ask for it: keys under rising revisions, compared and changed in one step, leases.

Sans-IO: a call takes its time from `now_ms` and returns what changed. Invariants: one change is one revision, however
many keys it touches; the past can be read back to HISTORY_CHANGES changes, after which it is `Compacted`; a key that
was put under a lease goes with it.
Not its business: JSON and HTTP (`gateway`), the file (`keys_file`). Source: etcd's API reference, v3.
"""

from __future__ import annotations

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from tailrace.base.errors import TailraceError

HISTORY_CHANGES: Final = 1000
"""Changes that a watch may go back: a broker that was stopped for longer than these took reads the whole again."""


class Compacted(TailraceError):
    """The past that was asked for is not known any more."""


class LeaseNotFound(TailraceError):
    """There is no such lease, or it has ended."""


class KeyValue(NamedTuple):
    """One key as it is since `mod_revision`."""

    key: bytes
    value: bytes
    create_revision: int
    mod_revision: int
    lease: int = 0


class KeyChange(NamedTuple):
    """What one change did to one key. None: it was not there; it is not there any more."""

    key: bytes
    before: KeyValue | None
    after: KeyValue | None


class Change(NamedTuple):
    """One revision."""

    revision: int
    keys: tuple[KeyChange, ...]


class Put(NamedTuple):
    """Make `key` be `value`, under a lease unless that is 0."""

    key: bytes
    value: bytes
    lease: int = 0


class Delete(NamedTuple):
    """Remove the keys from `key` on before `end`; `key` alone when `end` is empty."""

    key: bytes
    end: bytes = b""


class Lease:
    """One lease, and the keys that go with it."""

    def __init__(self, ttl_ms: float, until_ms: float) -> None:
        self.ttl_ms = ttl_ms
        self.until_ms = until_ms
        self.keys: set[bytes] = set()


class Keys:
    """The keys and leases. `on_change` is told of every change before it counts; what it raises undoes it."""

    def __init__(self, on_change: Callable[[Change], object]) -> None:
        self.revision = 1
        self._on_change = on_change
        self._values: dict[bytes, KeyValue] = {}
        self._sorted: list[bytes] = []
        self._history: deque[Change] = deque(maxlen=HISTORY_CHANGES)
        self._leases: dict[int, Lease] = {}
        self._last_lease = 0

    def load(self, revision: int, values: Iterable[KeyValue]) -> None:
        """Begin with what was kept. Nothing of the past is known."""
        self.revision = revision
        self._values = {each.key: each for each in values}
        self._sorted = sorted(self._values)

    # Reading

    def get(self, key: bytes) -> KeyValue | None:
        """One key, now."""
        return self._values.get(key)

    def range(self, key: bytes, end: bytes, revision: int = 0) -> list[KeyValue]:
        """The keys from `key` on before `end`, in order, as of `revision` (0: now). `key` alone when `end` is empty."""
        found = {each: self._values[each] for each in self._between(key, end)}
        if 0 < revision < self.revision:
            self._check_known(revision)
            for change in reversed(self._history):
                if change.revision <= revision:
                    break
                for touched in change.keys:
                    if touched.key == key or (end and key <= touched.key < end):
                        found.pop(touched.key, None)
                        if touched.before is not None:
                            found[touched.key] = touched.before
        return [found[each] for each in sorted(found)]

    def changes_from(self, revision: int) -> list[Change]:
        """Every change from `revision` on. Raises Compacted."""
        if revision <= self.revision:
            self._check_known(revision - 1)
        return [change for change in self._history if change.revision >= revision]

    @property
    def compact_revision(self) -> int:
        """The first revision that a watch may begin at."""
        return self.revision + 1 - len(self._history)

    def _check_known(self, revision: int) -> None:
        if revision < self.revision - len(self._history):
            raise Compacted("etcdserver: mvcc: required revision has been compacted")

    def _between(self, key: bytes, end: bytes) -> list[bytes]:
        if not end:
            return [key] if key in self._values else []
        return self._sorted[bisect_left(self._sorted, key) : bisect_left(self._sorted, end)]

    # Changing

    def change(self, operations: Iterable[Put | Delete]) -> int:
        """Do all of it, as one revision; answers the revision. Nothing changed: the one there is.

        Raises LeaseNotFound, or what `on_change` raised, and then nothing was done.
        """
        wanted = list(operations)
        for operation in wanted:
            if isinstance(operation, Put) and operation.lease and operation.lease not in self._leases:
                raise LeaseNotFound("etcdserver: requested lease not found")
        revision = self.revision + 1
        touched: list[KeyChange] = []
        for operation in wanted:
            if isinstance(operation, Put):
                touched.append(self._put(operation, revision))
            else:
                touched += [self._delete(key) for key in self._between(operation.key, operation.end)]
        if touched:
            change = Change(revision, tuple(touched))
            try:
                self._on_change(change)
            except BaseException:
                self._undo(touched)
                raise
            self.revision = revision
            self._history.append(change)
        return self.revision

    def _undo(self, touched: list[KeyChange]) -> None:
        for key, before, _ in reversed(touched):
            self._values.pop(key, None)
            if before is not None:
                self._values[key] = before
        self._sorted = sorted(self._values)

    def _put(self, put: Put, revision: int) -> KeyChange:
        before = self._values.get(put.key)
        if before is None:
            insort(self._sorted, put.key)
        else:
            self._unlease(before)
        created = revision if before is None else before.create_revision
        after = self._values[put.key] = KeyValue(put.key, put.value, created, revision, put.lease)
        if put.lease:
            self._leases[put.lease].keys.add(put.key)
        return KeyChange(put.key, before, after)

    def _delete(self, key: bytes) -> KeyChange:
        before = self._values.pop(key)
        del self._sorted[bisect_left(self._sorted, key)]
        self._unlease(before)
        return KeyChange(key, before, None)

    def _unlease(self, value: KeyValue) -> None:
        if value.lease in self._leases:
            self._leases[value.lease].keys.discard(value.key)

    # Leases

    def grant(self, ttl_ms: float, now_ms: float) -> int:
        """A lease that ends in `ttl_ms` unless it is kept alive; its id."""
        self._last_lease += 1
        self._leases[self._last_lease] = Lease(ttl_ms, now_ms + ttl_ms)
        return self._last_lease

    def keep_alive(self, lease_id: int, now_ms: float) -> float:
        """Let it begin anew; how long it lasts, in ms: 0 when it has ended."""
        lease = self._leases.get(lease_id)
        if lease is None:
            return 0
        lease.until_ms = now_ms + lease.ttl_ms
        return lease.ttl_ms

    def time_to_live(self, lease_id: int, now_ms: float) -> tuple[float, float] | None:
        """How long it has left and how long it was granted, in ms; None when it has ended."""
        lease = self._leases.get(lease_id)
        return None if lease is None else (max(0.0, lease.until_ms - now_ms), lease.ttl_ms)

    def revoke(self, lease_id: int) -> None:
        """End it now, and its keys. Raises LeaseNotFound."""
        lease = self._leases.get(lease_id)
        if lease is None:
            raise LeaseNotFound("etcdserver: requested lease not found")
        self.change([Delete(key) for key in sorted(lease.keys)])
        del self._leases[lease_id]

    def expire(self, now_ms: float) -> None:
        """End the leases whose time has come."""
        for lease_id in [each for each, lease in self._leases.items() if lease.until_ms <= now_ms]:
            self.revoke(lease_id)

    @property
    def next_end_ms(self) -> float | None:
        """When the first lease ends; None: there are none."""
        return min((lease.until_ms for lease in self._leases.values()), default=None)
