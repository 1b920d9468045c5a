"""The metadata store of a local cluster: the gateway that its parent serves, held against the stores' contract."""

from __future__ import annotations

import asyncio
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.harness.etcd_stores import StoresOfOneLog
from tests.support.store_contract import SharedStoreContract, setting

from tailrace.base.clock import SystemClock
from tailrace.base.errors import TailraceError
from tailrace.cluster.etcd_client import EtcdClient, EtcdOptions
from tailrace.local.gateway import Gateway
from tailrace.net.address import Address

WAIT_S = 60.0


class GatewayThread:
    """A gateway in a loop and a thread of its own."""

    def __init__(self, path: Path | None = None) -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self.gateway = Gateway(SystemClock(), path)
        self.port = asyncio.run_coroutine_threadsafe(self.gateway.start(), self._loop).result(WAIT_S)

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self.gateway.close(), self._loop).result(WAIT_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(WAIT_S)
        self._loop.close()


class GatewayStores(StoresOfOneLog):
    """Behind a gateway."""

    lease_ttl_ms = 1000
    lease_end_delay_s = 0.2

    def __init__(self, port: int, prefix: str | None = None) -> None:
        super().__init__(EtcdOptions((Address("127.0.0.1", port),)), prefix)


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GatewayThread]:
    """With a file: without one it does the same and keeps nothing."""
    made = GatewayThread(tmp_path_factory.mktemp("keys") / "cluster.db")
    yield made
    made.close()


@pytest.fixture
def stores(gateway: GatewayThread) -> Iterator[GatewayStores]:
    made = GatewayStores(gateway.port)
    yield made
    made.close()


class TestGateway(SharedStoreContract):
    """The contract, behind the gateway."""


def test_what_was_appended_outlives_the_gateway_and_leases_do_not(tmp_path: Path) -> None:
    path = tmp_path / "cluster.db"
    for life in range(3):
        gateway = GatewayThread(path)
        stores = GatewayStores(gateway.port, "/tailrace/x")
        store = stores.open()
        assert store.load() == (life, [setting(version) for version in range(life)])
        assert store.read_leases() == {}
        assert store.append(life, [setting(life)]) == life + 1
        assert store.acquire_lease("controller", "a", 60_000)
        stores.close()
        gateway.close()


def test_a_lease_of_one_second_ends_after_one_second(stores: GatewayStores) -> None:
    """By what the gateway says of its last renewal, as with etcd: it was granted two."""
    one, keeper = stores.open(), stores.open()
    assert keeper.acquire_lease("controller", "b", 1000)
    began = time.monotonic()
    assert one.acquire_lease("broker-1", "a", 1000)
    while "broker-1" in keeper.read_leases():
        assert time.monotonic() - began < 60
        assert keeper.acquire_lease("controller", "b", 1000)
        time.sleep(0.05)
    took_s = time.monotonic() - began
    assert took_s > 0.95
    assert one.acquire_lease("broker-1", "c", 1000)


def test_a_file_that_another_has_open_is_refused_in_one_sentence(tmp_path: Path) -> None:
    gateway = GatewayThread(tmp_path / "cluster.db")
    with pytest.raises(TailraceError, match="another process has it open"):
        Gateway(SystemClock(), tmp_path / "cluster.db")
    gateway.close()
    (tmp_path / "noise.db").write_bytes(b"not a database, at all" * 100)
    with pytest.raises(TailraceError, match="cannot open the cluster's metadata"):
        Gateway(SystemClock(), tmp_path / "noise.db")


def test_a_browser_is_not_answered(gateway: GatewayThread) -> None:
    """Any page may have it send what it likes to an address of this host."""
    body = b"{}"
    head = b"POST /v3/kv/range HTTP/1.1\r\nContent-Length: 2\r\n"
    with socket.create_connection(("127.0.0.1", gateway.port), timeout=60) as client:
        client.sendall(head + b"\r\n" + body)
        assert client.recv(4096).startswith(b"HTTP/1.1 200 ")
        client.sendall(head + b"Origin: http://example.com\r\n\r\n" + body)
        assert client.recv(4096) == b""


def test_what_etcd_does_and_the_gateway_does_not_is_refused_and_not_guessed(gateway: GatewayThread) -> None:
    client = EtcdClient(EtcdOptions((Address("127.0.0.1", gateway.port),)), SystemClock())
    compare = {"key": "YQ==", "target": "VERSION", "result": "EQUAL", "version": "1"}
    for path, body in (
        ("/v3/kv/compaction", {"revision": "1"}),
        ("/v3/kv/txn", {"compare": [compare], "success": []}),
        ("/v3/kv/txn", {"compare": [{**compare, "target": "CREATE", "result": "GREATER"}], "success": []}),
        ("/v3/lease/grant", {}),
    ):
        with pytest.raises(TailraceError):
            client.call(path, body, 2000)
    client.close()
