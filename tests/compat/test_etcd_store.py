"""The contract of metadata stores on etcd, and what only a store over a network meets."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from tests.harness.cut_proxy import CutProxy
from tests.harness.etcd import EtcdProcess
from tests.harness.etcd_stores import StoresOfOneLog
from tests.support.store_contract import Heard, SharedStoreContract, setting

from tailrace.base.clock import SystemClock
from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.rand import SystemRandom
from tailrace.cluster.etcd_client import EtcdClient, EtcdOptions
from tailrace.cluster.etcd_store import EtcdStore
from tailrace.cluster.records import ConfigRecord, ResourceType
from tailrace.cluster.store import StaleVersion, StoreUnavailable
from tailrace.net.address import Address
from tailrace.net.http_client import TlsFiles

pytestmark = pytest.mark.compat


class EtcdStores(StoresOfOneLog):
    """In etcd."""

    lease_ttl_ms = 4000
    """Twice the shortest that etcd grants at its usual election timeout: the machine may be busy."""
    lease_end_delay_s = 1.5
    """etcd looks twice a second."""

    def __init__(self, ports: list[int], tls: TlsFiles | None = None, user: tuple[str, str] = ("", "")) -> None:
        super().__init__(EtcdOptions(tuple(Address("127.0.0.1", port) for port in ports), tls, *user))


@pytest.fixture(scope="module")
def etcd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EtcdProcess]:
    process = EtcdProcess(tmp_path_factory.mktemp("etcd"))
    process.start()
    yield process
    process.kill()


@pytest.fixture
def stores(etcd: EtcdProcess) -> Iterator[EtcdStores]:
    made = EtcdStores([etcd.port])
    yield made
    made.close()


@pytest.fixture
def proxy(etcd: EtcdProcess) -> Iterator[CutProxy]:
    made = CutProxy(etcd.port)
    yield made
    made.close()


class TestEtcd(SharedStoreContract):
    """The contract, in etcd."""


def compact_etcd(etcd: EtcdProcess, stores: EtcdStores) -> None:
    """Have etcd forget every revision but the present."""
    client = EtcdClient(EtcdOptions((Address("127.0.0.1", etcd.port),)), SystemClock())
    revision = client.call("/v3/kv/range", {"key": "YQ=="})["header"]["revision"]
    client.call("/v3/kv/compaction", {"revision": revision, "physical": True})
    client.close()


def test_a_watch_whose_past_was_compacted_says_that_it_is_behind(
    etcd: EtcdProcess, stores: EtcdStores, proxy: CutProxy
) -> None:
    writer = stores.open()
    writer.append(0, [setting(0)])
    reader = EtcdStore(
        EtcdClient(EtcdOptions((Address("127.0.0.1", proxy.port),)), SystemClock()),
        stores.prefix,
        "reader",
        stores._posted.put,
    )
    assert reader.load().version == 1
    heard = Heard()
    reader.watch(heard.watcher)
    writer.append(1, [setting(1)])
    stores.wait(lambda: len(heard.batches) == 1)
    proxy.cut()
    for version in range(2, 10):
        writer.append(version, [setting(version)])
    compact_etcd(etcd, stores)
    proxy.mend()
    stores.wait(lambda: heard.behind == 1)
    news = reader.load_after(2)
    assert news is not None
    assert [batch.version for batch in news] == list(range(3, 11))
    writer.append(10, [setting(10)])
    stores.wait(lambda: heard.batches[-1:] == [(11, [setting(10)])])
    reader.close()


def test_a_watch_goes_on_after_its_connection_was_cut_and_misses_nothing(stores: EtcdStores, proxy: CutProxy) -> None:
    writer = stores.open()
    reader = EtcdStores([proxy.port])
    reader.prefix = stores.prefix
    store = reader.open()
    store.load()
    heard = Heard()
    store.watch(heard.watcher)
    for version in range(30):
        if version % 10 == 5:
            proxy.cut()
        if version % 10 == 8:
            proxy.mend()
        writer.append(version, [setting(version)])
    reader.wait(lambda: len(heard.batches) == 30)
    assert heard.batches == [(version + 1, [setting(version)]) for version in range(30)]
    assert heard.behind == 0
    reader.close()


def test_etcd_that_is_killed_and_started_again_has_lost_nothing(tmp_path: Path) -> None:
    etcd = EtcdProcess(tmp_path)
    etcd.start()
    stores = EtcdStores([etcd.port])
    try:
        store = stores.open()
        store.load()
        heard = Heard()
        store.watch(heard.watcher)
        for version in range(5):
            store.append(version, [setting(version)])
        etcd.kill()
        again = threading.Timer(0.5, etcd.start)
        again.start()
        assert store.append(5, [setting(5)]) == 6  # rides over it
        again.join()
        assert store.load() == (6, [setting(version) for version in range(6)])
        stores.wait(lambda: len(heard.batches) == 6)
    finally:
        stores.close()
        etcd.kill()


def test_another_endpoint_is_asked_when_one_is_gone_or_hangs(etcd: EtcdProcess, proxy: CutProxy) -> None:
    def append_seconds() -> float:
        stores = EtcdStores([proxy.port, etcd.port])
        store = stores.open()
        store.append(0, [setting(0)])
        proxy.cut()
        began = time.monotonic()
        store.append(1, [setting(1)])
        took_s = time.monotonic() - began
        stores.close()
        proxy.mend()
        return took_s

    assert any(append_seconds() < 2.4 for _ in range(5)), "an endpoint that is gone costs no wait"
    hanging = EtcdStores([proxy.port, etcd.port])
    store = hanging.open()
    store.append(0, [setting(0)])
    proxy.hold()
    assert store.append(1, [setting(1)]) == 2
    assert store.append(2, [setting(2)]) == 3
    hanging.close()
    proxy.mend()

    def renewal_seconds() -> float:
        leasing = EtcdStores([proxy.port, etcd.port])
        store = leasing.open()
        assert store.acquire_lease("controller", "a", 6000)
        proxy.hold()
        began = time.monotonic()
        assert store.acquire_lease("controller", "a", 6000)
        took_s = time.monotonic() - began
        leasing.close()
        proxy.mend()
        return took_s

    assert any(renewal_seconds() < 5.5 for _ in range(5)), "the lease outlives an endpoint that hangs"


def cut_for_a_while(proxy: CutProxy, after_s: float) -> None:
    time.sleep(after_s)
    proxy.cut()
    time.sleep(0.1)
    proxy.mend()


def test_an_append_whose_answer_was_lost_happened_once(etcd: EtcdProcess, proxy: CutProxy) -> None:
    """The request arrives, its answer does not: the second try finds its own batch and says so."""
    stores = EtcdStores([proxy.port])
    store = stores.open()
    for version in range(12):
        proxy.delay_s = 0.03
        fault = threading.Thread(target=cut_for_a_while, args=(proxy, 0.005 * version))
        fault.start()
        assert store.append(version, [setting(version)]) == version + 1
        fault.join()
    assert store.load() == (12, [setting(version) for version in range(12)])
    stores.close()


def test_an_etcd_that_is_cut_off_is_unavailable_in_time(proxy: CutProxy, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tailrace.cluster.etcd_store.CALL_MS", 1000)
    stores = EtcdStores([proxy.port])
    store = stores.open()
    store.append(0, [setting(0)])
    proxy.cut()
    began = time.monotonic()
    with pytest.raises(StoreUnavailable, match="does not answer"):
        store.acquire_lease("controller", "a", 1000)
    assert time.monotonic() - began < 60, "it does not wait for an end of it"
    proxy.mend()
    assert store.acquire_lease("controller", "a", 2000)
    stores.close()


def test_a_slow_etcd_answers_late_and_right(proxy: CutProxy) -> None:
    stores = EtcdStores([proxy.port])
    store = stores.open()
    proxy.delay_s = 0.4
    with pytest.raises(StaleVersion):
        store.append(5, [setting(5)])
    assert store.append(0, [setting(0)]) == 1
    stores.close()


def test_a_change_that_is_too_large_is_refused_and_a_large_one_is_not(stores: EtcdStores) -> None:
    store = stores.open()
    large = [ConfigRecord(ResourceType.TOPIC, f"t{number}", "x", str(number)) for number in range(30_000)]
    assert store.append(0, large) == 1
    assert store.load() == (1, large)
    random = SystemRandom()
    words = ["".join(random.uuid().hex for _ in range(40)) for _ in range(2000)]
    noise = [ConfigRecord(ResourceType.TOPIC, "t", "x", word) for word in words]
    with pytest.raises(KafkaError) as refused:
        store.append(1, noise)
    assert refused.value.code is ErrorCode.POLICY_VIOLATION
    store.compact(1, large)
    assert store.load() == (1, large)


def certificates(directory: Path) -> tuple[TlsFiles, list[str]]:
    """A certificate authority, a server's and a client's certificate; what etcd has to be told of them."""

    def run(*arguments: str) -> None:
        subprocess.run(["openssl", *arguments], cwd=directory, check=True, capture_output=True)

    (directory / "san").write_text("subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth,clientAuth\n")
    run("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-keyout", "ca.key", "-out", "ca.pem", "-subj", "/CN=ca")
    for name in ("server", "client"):
        run("req", "-newkey", "rsa:2048", "-nodes", "-keyout", f"{name}.key", "-out", f"{name}.csr",
            "-subj", f"/CN={name}")  # fmt: skip
        run("x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial",
            "-out", f"{name}.pem", "-extfile", "san")  # fmt: skip
    path = directory.absolute()
    told = ["--cert-file", f"{path}/server.pem", "--key-file", f"{path}/server.key", "--trusted-ca-file",
            f"{path}/ca.pem", "--client-cert-auth"]  # fmt: skip
    return TlsFiles(path / "ca.pem", path / "client.pem", path / "client.key"), told


def test_over_tls_both_ends_show_who_they_are(tmp_path: Path) -> None:
    files, told = certificates(tmp_path)
    etcd = EtcdProcess(tmp_path, *told, scheme="https")
    etcd.start()
    with ExitStack() as stack:
        stack.callback(etcd.kill)
        stores = EtcdStores([etcd.port], files)
        stack.callback(stores.close)
        store = stores.open()
        heard = Heard()
        store.load()
        store.watch(heard.watcher)
        assert store.append(0, [setting(0)]) == 1
        stores.wait(lambda: len(heard.batches) == 1)
        for wrong in (None, TlsFiles(files.ca), TlsFiles()):
            strangers = EtcdStores([etcd.port], wrong)
            stack.callback(strangers.close)
            with pytest.raises(StoreUnavailable):
                strangers.open().acquire_lease("controller", "a", 500)


def test_with_a_user_and_a_password(tmp_path: Path) -> None:
    etcd = EtcdProcess(tmp_path, "--auth-token", "simple", "--auth-token-ttl", "3")
    etcd.start()
    with ExitStack() as stack:
        stack.callback(etcd.kill)
        client = EtcdClient(EtcdOptions((Address("127.0.0.1", etcd.port),)), SystemClock())
        stack.callback(client.close)
        client.call("/v3/auth/user/add", {"name": "root", "password": "secret"})
        client.call("/v3/auth/role/add", {"name": "root"})
        client.call("/v3/auth/user/grant", {"user": "root", "role": "root"})
        client.call("/v3/auth/enable", {})
        stores = EtcdStores([etcd.port], None, ("root", "secret"))
        stack.callback(stores.close)
        store = stores.open()
        store.load()
        heard = Heard()
        store.watch(heard.watcher)
        assert store.append(0, [setting(0)]) == 1
        stores.wait(lambda: len(heard.batches) == 1)
        time.sleep(5)  # the token ends, and another is asked for
        assert store.append(1, [setting(1)]) == 2
        for user in (("", ""), ("root", "wrong")):
            strangers = EtcdStores([etcd.port], None, user)
            stack.callback(strangers.close)
            with pytest.raises(StoreUnavailable) as refused:
                strangers.open().read_version()
            assert "wrong" not in str(refused.value)
