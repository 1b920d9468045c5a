"""What the stores in etcd ask: parts of transactions, and what an answer says.

Source: etcd's API reference, v3 (rpc.proto).
"""

from __future__ import annotations

from typing import Any

from tailrace.cluster.etcd_client import EtcdError, Json, from_base64, to_base64
from tailrace.cluster.store import StoreUnavailable


def unavailable(error: EtcdError) -> StoreUnavailable:
    """What callers of a store are told."""
    return StoreUnavailable(f"etcd refuses: {error}")


def get(key: bytes) -> Json:
    """Read a key."""
    return {"request_range": {"key": to_base64(key)}}


def put(key: bytes, value: bytes, lease: str | None = None) -> Json:
    """Write a key, bound to a lease if one is given."""
    request = {"key": to_base64(key), "value": to_base64(value)}
    return {"request_put": request if lease is None else {**request, "lease": lease}}


def delete(key: bytes, end: bytes) -> Json:
    """Delete the keys from `key` on before `end`."""
    return {"request_delete_range": {"key": to_base64(key), "range_end": to_base64(end)}}


def absent(key: bytes) -> Json:
    """Only if there is no such key."""
    return {"key": to_base64(key), "target": "CREATE", "result": "EQUAL", "create_revision": "0"}


def equal(key: bytes, value: bytes) -> Json:
    """Only if the key has this value."""
    return {"key": to_base64(key), "target": "VALUE", "result": "EQUAL", "value": to_base64(value)}


def same(key: bytes, value: bytes | None) -> Json:
    """Only if the key has this value, or is not there for None."""
    return absent(key) if value is None else equal(key, value)


def first_value(answer: Json) -> bytes | None:
    """The value of the key that was read; None when it is not there."""
    kvs: list[dict[str, Any]] = answer.get("kvs", [])
    return from_base64(kvs[0].get("value", "")) if kvs else None
