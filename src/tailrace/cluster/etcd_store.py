"""Metadata in etcd, for a cluster of brokers: batches under rising versions, compared and put in one transaction.

Invariants: a batch is there exactly when the version key has reached it, for both are put together, after the version
was compared; so of two brokers that append after the same version one is refused. A call that happened twice, because
its answer was lost, is known by the token in the batch. Snapshots are written in full before anything points to them.
Not its business: connections and retries (`etcd_client`), the watch (`etcd_watch`).
Source: etcd's API reference, v3.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
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
from tailrace.cluster.etcd_layout import (
    SNAPSHOT_CHUNK_RECORDS,
    BatchTooLarge,
    Layout,
    decode_value,
    encode_value,
    token_of,
)
from tailrace.cluster.etcd_leases import EtcdLeases
from tailrace.cluster.etcd_requests import delete, first_value, get, put, same, unavailable
from tailrace.cluster.etcd_watch import EtcdWatch
from tailrace.cluster.records import Record
from tailrace.cluster.store import Batch, Loaded, StaleVersion, StoreUnavailable, Watcher

PAGE_KEYS: Final = 200
"""Keys that one question asks for."""
LOADS_MAX: Final = 5
"""Times that a load is begun again because etcd compacted what was being read."""


class EtcdStore:
    """A MetadataStore under `prefix`. `post` runs a callback in the owner's thread; `holder` is unique to a process."""

    def __init__(
        self, client: EtcdClient, prefix: str, holder: str, post: Callable[[Callable[[], object]], object]
    ) -> None:
        self._client = client
        self._layout = Layout(prefix)
        self._holder = holder
        self._post = post
        self._appends = 0
        self._revision = 0
        """etcd's revision of the last load: where a watch goes on from."""
        self._leases = EtcdLeases(client, self._layout)
        self._watch: EtcdWatch | None = None

    # Reading

    def load(self) -> Loaded:
        for _ in range(LOADS_MAX):
            try:
                return self._load()
            except EtcdError as error:
                if error.code != GrpcCode.OUT_OF_RANGE:
                    raise unavailable(error) from error
        raise StoreUnavailable("etcd compacts faster than it can be read")

    def _load(self) -> Loaded:
        layout = self._layout
        answer = self._client.call("/v3/kv/txn", {"success": [get(layout.version), get(layout.snapshot)]})
        revision = int(answer["header"]["revision"])
        version, snapshot = (first_value(each["response_range"]) for each in answer["responses"])
        records: list[Record] = []
        first = 0
        if snapshot is not None:
            first = int(json.loads(snapshot)["version"])
            for _, value in self._values(layout.chunks(first), end_of_prefix(layout.chunks(first)), revision):
                records += decode_value(value)
        for _, value in self._values(layout.batch(first + 1), end_of_prefix(layout.batches), revision):
            records += decode_value(value)
        self._revision = revision
        return Loaded(0 if version is None else int(version), records)

    def load_after(self, version: int) -> list[Batch] | None:
        layout = self._layout
        answer = self._ask("/v3/kv/txn", {"success": [get(layout.snapshot)]})
        snapshot = first_value(answer["responses"][0]["response_range"])
        if snapshot is not None and int(json.loads(snapshot)["version"]) > version:
            return None
        revision = int(answer["header"]["revision"])
        try:
            found = self._values(layout.batch(version + 1), end_of_prefix(layout.batches), revision)
        except EtcdError as error:
            if error.code == GrpcCode.OUT_OF_RANGE:
                return None
            raise unavailable(error) from error
        return [Batch(layout.version_of(key), decode_value(value)) for key, value in found]

    def _values(self, key: bytes, end: bytes, revision: int) -> list[tuple[bytes, bytes]]:
        """Every key from `key` on before `end` as of `revision`, with its value. Raises EtcdError."""
        found: list[tuple[bytes, bytes]] = []
        while True:
            asked = {
                "key": to_base64(key),
                "range_end": to_base64(end),
                "revision": str(revision),
                "limit": str(PAGE_KEYS),
            }
            answer = self._client.call("/v3/kv/range", asked)
            found += ((from_base64(kv["key"]), from_base64(kv.get("value", ""))) for kv in answer.get("kvs", ()))
            if not answer.get("more"):
                return found
            key = found[-1][0] + b"\0"

    def read_version(self, call_ms: float = CALL_MS) -> int:
        """The version as etcd's majority has it now."""
        answer = self._ask("/v3/kv/range", {"key": to_base64(self._layout.version)}, call_ms)
        value = first_value(answer)
        return 0 if value is None else int(value)

    # Writing

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        layout, version = self._layout, expected_version + 1
        self._appends += 1
        token = f"{self._holder}-{self._appends}"
        try:
            value = encode_value(token, records)
        except BatchTooLarge as error:
            raise KafkaError(ErrorCode.POLICY_VIOLATION, f"{error}.") from error
        batch = layout.batch(version)
        answer = self._ask(
            "/v3/kv/txn",
            {
                "compare": [_at_version(layout, expected_version)],
                "success": [put(layout.version, b"%d" % version), put(batch, value)],
                "failure": [get(layout.version), get(batch)],
            },
        )
        if not answer.get("succeeded"):
            there, written = (first_value(each["response_range"]) for each in answer["responses"])
            if written is None or token_of(written) != token:
                found = 0 if there is None else int(there)
                raise StaleVersion(f"metadata is at version {found}, not {expected_version}")
        return version

    def compact(self, version: int, records: Sequence[Record]) -> None:
        layout = self._layout
        chunks = [
            list(records[index : index + SNAPSHOT_CHUNK_RECORDS])
            for index in range(0, len(records), SNAPSHOT_CHUNK_RECORDS)
        ]
        before = self._ask("/v3/kv/txn", {"success": [get(layout.version), get(layout.snapshot)]})
        there, snapshot = (first_value(each["response_range"]) for each in before["responses"])
        if (0 if there is None else int(there)) != version:
            raise StaleVersion(f"metadata is at version {there!r}, not {version}")
        for index, chunk in enumerate(chunks):
            body = {
                "key": to_base64(layout.chunk(version, index)),
                "value": to_base64(encode_value(self._holder, chunk)),
            }
            self._ask("/v3/kv/put", body)
        pointer = json.dumps({"version": version, "chunks": len(chunks)}).encode()
        done = [put(layout.snapshot, pointer), delete(layout.batches, layout.batch(version + 1))]
        if snapshot is not None and (old := int(json.loads(snapshot)["version"])) != version:
            done.append(delete(layout.chunks(old), end_of_prefix(layout.chunks(old))))
        answer = self._ask(
            "/v3/kv/txn",
            {"compare": [_at_version(layout, version), same(layout.snapshot, snapshot)], "success": done},
        )
        if not answer.get("succeeded"):
            raise StaleVersion(f"metadata moved on from version {version} while it was compacted")

    # Leases

    def acquire_lease(self, name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        return self._leases.acquire(name, holder, ttl_ms, instead_of)

    def release_lease(self, name: str, holder: str) -> None:
        self._leases.release(name)

    def read_leases(self) -> dict[str, str]:
        return self._leases.read()

    # The rest

    def watch(self, watcher: Watcher) -> None:
        assert self._watch is None, "watched once"
        self._watch = EtcdWatch(self._client, self._layout, watcher, self._post, self._revision + 1)
        self._watch.start()

    def close(self) -> None:
        """Ends every call that waits, from any thread. Again is nothing."""
        self._client.close()
        if self._watch is not None:
            self._watch.stop()

    def _ask(self, path: str, body: Json, call_ms: float = CALL_MS) -> Json:
        try:
            return self._client.call(path, body, call_ms)
        except EtcdError as error:
            raise unavailable(error) from error


def _at_version(layout: Layout, version: int) -> Json:
    return same(layout.version, None if version == 0 else b"%d" % version)
