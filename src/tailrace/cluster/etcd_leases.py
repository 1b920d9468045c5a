"""Leases of one cluster in etcd: who holds them, and when they are over.

An etcd lease lasts one and a half election timeouts of etcd's at least, 2 s by default, and ends up to half a second
late. A *short* one, of SHORT_MS, is therefore ended by the brokers: etcd tells how long ago it was renewed.
Invariant: nobody is shown a lease as ended of which a renewal counted for its holder less than SHORT_MS ago.
"""

from __future__ import annotations

from math import ceil
from typing import Final

from tailrace.cluster.etcd_client import (
    CALL_MS,
    EtcdClient,
    EtcdError,
    GrpcCode,
    Json,
    end_of_prefix,
    from_base64,
    to_base64,
)
from tailrace.cluster.etcd_layout import Layout, LeaseState, lease_value, lease_values, parse_lease_value
from tailrace.cluster.etcd_requests import equal, first_value, put, same, unavailable
from tailrace.cluster.registration import CONTROLLER_LEASE
from tailrace.cluster.store import StoreUnavailable

REVOKE_MS: Final = 500
"""How long a lease is tried to be given back: it ends by itself."""
TRIES_MAX: Final = 10
"""Times that a lease is looked at and taken when its key changes in between."""
SHORT_MS: Final = 1000
"""A lease up to so long is short. Not less: etcd tells its age in whole seconds."""
SHORT_GRANT_S: Final = 2
"""For how long a short lease is asked of etcd, at least: a second more than it counts."""
KEEPER: Final = CONTROLLER_LEASE
"""The lease whose holder looks at the short leases of all others; everybody looks at this one."""


class EtcdLeases:
    """Those of one process. `acquire` and `read` are called by one thread."""

    def __init__(self, client: EtcdClient, layout: Layout) -> None:
        self._client = client
        self._layout = layout
        self._held: dict[str, str] = {}
        """Lease -> id of the etcd lease under it."""
        self._over: dict[str, tuple[bytes, str]] = {}
        """Lease of another, found to be over -> its marked value and its id; etcd deletes it within a second."""

    def acquire(self, name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        call_ms = min(CALL_MS, ttl_ms)  # what comes later than the lease ends is of no use
        known = self._held.get(name)
        if known is not None:
            answer = self._ask("/v3/lease/keepalive", {"ID": known}, call_ms)
            if int(answer["result"].get("TTL", 0)) > 0:
                return True
            del self._held[name]
        is_short = ttl_ms <= SHORT_MS
        ttl_s = SHORT_GRANT_S if is_short else ceil(ttl_ms / 1000)
        grant = self._ask("/v3/lease/grant", {"TTL": str(ttl_s)}, call_ms)
        lease_id = str(grant["ID"])
        key = self._layout.lease(name)
        write = put(key, lease_value(holder, is_short=is_short), lease_id)
        replaced = {value for each in (holder, instead_of or holder) for value in lease_values(each)}
        over, over_id = self._over.get(name, (None, ""))
        for _ in range(TRIES_MAX):
            there = first_value(self._ask("/v3/kv/range", {"key": to_base64(key)}, call_ms))
            if there is not None and there not in replaced and there != over:
                self._revoke(lease_id)
                return False
            answer = self._ask("/v3/kv/txn", {"compare": [same(key, there)], "success": [write]}, call_ms)
            if answer.get("succeeded"):
                self._held[name] = lease_id
                if there is not None and there == over:
                    self._revoke(over_id)
                return True  # else it ended meanwhile, or another was faster
        raise StoreUnavailable(f"lease {name} changes hands faster than it can be taken")

    def release(self, name: str) -> None:
        lease_id = self._held.pop(name, None)
        if lease_id is not None:
            self._revoke(lease_id)

    def _revoke(self, lease_id: str) -> None:
        try:
            self._client.call("/v3/lease/revoke", {"ID": lease_id}, REVOKE_MS)
        except EtcdError as error:
            if error.code != GrpcCode.NOT_FOUND:
                raise unavailable(error) from error

    def read(self) -> dict[str, str]:
        leases = self._layout.leases
        answer = self._ask("/v3/kv/range", {"key": to_base64(leases), "range_end": to_base64(end_of_prefix(leases))})
        found: dict[str, str] = {}
        still: dict[str, str] = {}
        for kv in answer.get("kvs", ()):
            name = from_base64(kv["key"])[len(leases) :].decode()
            value = from_base64(kv.get("value", ""))
            holder, state = parse_lease_value(value)
            is_ours = str(kv.get("lease")) == self._held.get(name)
            if is_ours and state is LeaseState.ENDING:
                continue  # somebody may go by its end: it has to be taken anew
            if is_ours or state is LeaseState.PLAIN or not self._has_lapsed(name, value, str(kv["lease"])):
                found[name] = holder
                if is_ours:
                    still[name] = self._held[name]
        self._held = still
        return found

    def _has_lapsed(self, name: str, value: bytes, lease_id: str) -> bool:
        """End another's short lease if its time is over; whether it was.

        It is marked before the look that counts. A renewal that etcd took before the mark shows in that look; one that
        it took after, its holder does not count, because it looks at the key afterwards, and sees the mark.
        """
        if KEEPER not in (name, *self._held) or not self._is_over(lease_id):
            return False
        holder, state = parse_lease_value(value)
        marked = lease_value(holder, is_short=True, is_ending=True)
        if state is LeaseState.SHORT:
            key = self._layout.lease(name)
            body = {"compare": [equal(key, value)], "success": [put(key, marked, lease_id)]}
            try:
                if not self._client.call("/v3/kv/txn", body).get("succeeded") or not self._is_over(lease_id):
                    return False
            except EtcdError as error:
                if error.code != GrpcCode.NOT_FOUND:
                    raise unavailable(error) from error
        self._over[name] = marked, lease_id
        return True

    def _is_over(self, lease_id: str) -> bool:
        """Whether a short lease was not renewed for SHORT_MS. etcd tells the whole seconds that it has left."""
        answer = self._ask("/v3/lease/timetolive", {"ID": lease_id})
        left_s = int(answer.get("TTL", 0))
        return left_s < 0 or left_s + 1 + SHORT_MS / 1000 <= int(answer.get("grantedTTL", 0))

    def _ask(self, path: str, body: Json, call_ms: float = CALL_MS) -> Json:
        try:
            return self._client.call(path, body, call_ms)
        except EtcdError as error:
            raise unavailable(error) from error
