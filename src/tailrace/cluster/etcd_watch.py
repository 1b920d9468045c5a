"""Follows a cluster's keys in etcd, in a thread of its own, and tells the owner's thread what changed.

A stream that breaks is opened again from where it ended. Where etcd has compacted that away, the whole is asked for:
`on_behind`. Invariant: batches are told in order, each once, or `on_behind` is told after the gap.
That a stream is silent says nothing: who must be sure asks for the version (`EtcdStore.read_version`).
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import suppress
from threading import Event, Thread
from typing import Final

from tailrace.base.errors import TailraceError
from tailrace.cluster.etcd_client import EtcdClient, Json, end_of_prefix, from_base64, to_base64
from tailrace.cluster.etcd_layout import Layout, decode_value
from tailrace.cluster.store import Watcher
from tailrace.net.http_client import BlockingHttp

_log = logging.getLogger("tailrace.cluster")

REOPEN_BACKOFF_MS: Final = 200
"""Wait before a broken stream is opened again."""


class EtcdWatch:
    """One watch of one cluster. Started and stopped once."""

    def __init__(
        self,
        client: EtcdClient,
        layout: Layout,
        watcher: Watcher,
        post: Callable[[Callable[[], object]], object],
        revision: int,
    ) -> None:
        """Tell of everything from etcd's `revision` on."""
        self._client = client
        self._layout = layout
        self._watcher = watcher
        self._post = post
        self._next_revision = revision
        self._connection: BlockingHttp | None = None
        self._unreadable_version = 0
        self._stopped = Event()
        self._thread = Thread(target=self._run, name="tailrace-metadata-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and wait for it. Nothing is posted afterwards."""
        self._stopped.set()
        self.reopen()
        self._thread.join()

    def reopen(self) -> None:
        """Break the stream: its peer is silent, or others have moved to another endpoint. From any thread."""
        if self._connection is not None:
            self._connection.close()

    def _run(self) -> None:
        while not self._stopped.is_set():
            with suppress(OSError, TailraceError):  # told by who asks beside it; a watch only comes again
                self._follow()
            self._stopped.wait(REOPEN_BACKOFF_MS / 1000)

    def _follow(self) -> None:
        root = self._layout.root
        request = {
            "key": to_base64(root),
            "range_end": to_base64(end_of_prefix(root)),
            "start_revision": str(self._next_revision),
        }
        for answer in self._client.lines("/v3/watch", {"create_request": request}, self._opened):
            if answer.get("canceled"):
                self._on_canceled(answer)
                return
            self._on_events(answer)

    def _opened(self, connection: BlockingHttp) -> None:
        self._connection = connection
        if self._stopped.is_set():
            raise ConnectionError("stopped")

    def _on_canceled(self, answer: Json) -> None:
        compacted = int(answer.get("compact_revision", 0))
        if compacted:
            self._next_revision = compacted
            self._post(self._watcher.on_behind)
            self._post(self._watcher.on_leases)

    def _on_events(self, answer: Json) -> None:
        """Tell of one answer's events, and only then remember that they are told."""
        has_leases = False
        for event in answer.get("events", ()):
            key = from_base64(event["kv"]["key"])
            if key.startswith(self._layout.leases):
                has_leases = True
            elif key.startswith(self._layout.batches) and event.get("type", "PUT") == "PUT":
                self._on_batch(key, from_base64(event["kv"].get("value", "")))
        if has_leases:
            self._post(self._watcher.on_leases)
        if answer.get("events"):
            self._next_revision = int(answer["header"]["revision"]) + 1

    def _on_batch(self, key: bytes, value: bytes) -> None:
        version = self._layout.version_of(key)
        try:
            records = decode_value(value)
        except TailraceError as error:
            if version != self._unreadable_version:
                self._unreadable_version = version
                _log.critical("batch %d of the metadata: %s. This broker cannot follow the cluster.", version, error)
            raise
        self._post(lambda: self._watcher.on_batch(version, records))
