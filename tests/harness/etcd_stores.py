"""The stores that several brokers would have of one log behind etcd's API, under a prefix of its own."""

from __future__ import annotations

import time
from collections.abc import Callable
from queue import Empty, SimpleQueue

from tailrace.base.clock import SystemClock
from tailrace.base.rand import SystemRandom
from tailrace.cluster.etcd_client import EtcdClient, EtcdOptions
from tailrace.cluster.etcd_store import EtcdStore

WAIT_S = 60.0


class StoresOfOneLog:
    """Opens them and closes them all; what they post is run while one waits."""

    lease_ttl_ms: int
    lease_end_delay_s: float
    """How much later than a lease's time it is over for sure."""

    def __init__(self, options: EtcdOptions, prefix: str | None = None) -> None:
        self._options = options
        self.prefix = prefix or f"/tailrace/{SystemRandom().uuid().hex}"
        self._posted: SimpleQueue[Callable[[], object]] = SimpleQueue()
        self._opened: list[EtcdStore] = []

    def open(self) -> EtcdStore:
        client = EtcdClient(self._options, SystemClock())
        store = EtcdStore(client, self.prefix, SystemRandom().uuid().hex, self._posted.put)
        self._opened.append(store)
        return store

    def wait(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + WAIT_S
        while not condition():
            assert time.monotonic() < deadline, "it did not come"
            try:
                self._posted.get(timeout=0.1)()
            except Empty:
                pass

    def let_leases_end(self) -> None:
        time.sleep(self.lease_ttl_ms / 1000 + self.lease_end_delay_s)

    def close(self) -> None:
        for store in self._opened:
            store.close()
