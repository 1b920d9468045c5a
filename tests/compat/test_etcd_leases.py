"""Short leases in etcd: they end by the brokers' own looking, sooner than etcd ends any, and only when they may."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import pytest
from tests.compat.test_etcd_store import EtcdStores
from tests.harness.etcd import EtcdProcess

from tailrace.cluster.etcd_leases import SHORT_MS
from tailrace.cluster.etcd_store import EtcdStore

pytestmark = pytest.mark.compat

BROKER = "brokers/2"
OVER_MS = SHORT_MS + 100
"""After so long a lease of SHORT_MS has ended."""


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
def keeper(stores: EtcdStores) -> EtcdStore:
    """Who has the controller's lease, and so looks at those of others."""
    store = stores.open()
    assert store.acquire_lease("controller", "keeper", 120_000)
    return store


def seconds_until(condition: Callable[[], bool]) -> float:
    began = time.monotonic()
    while not condition():
        assert time.monotonic() - began < 60
        time.sleep(0.02)
    return time.monotonic() - began


def is_late(began: float) -> bool:
    """Whether a lease that was taken then may have ended: what is found now says nothing."""
    return time.monotonic() - began > SHORT_MS / 1000 * 0.9


def test_a_short_lease_ends_sooner_than_etcd_ends_any(stores: EtcdStores, keeper: EtcdStore) -> None:
    holder = stores.open()
    for _ in range(5):  # a busy machine may look late, but not each time
        began = time.monotonic()
        assert holder.acquire_lease(BROKER, "b", SHORT_MS)
        assert keeper.read_leases() == {"controller": "keeper", BROKER: "b"} or is_late(began)
        seconds_until(lambda: BROKER not in keeper.read_leases())
        took_s = time.monotonic() - began
        assert took_s > 0.8
        if took_s < 1.6:
            break
    assert took_s < 1.6
    assert holder.read_leases() == {"controller": "keeper"}
    assert BROKER not in keeper.read_leases()
    began = time.monotonic()
    assert holder.acquire_lease(BROKER, "b", SHORT_MS)
    assert keeper.read_leases().get(BROKER) == "b" or is_late(began)


def test_one_that_is_renewed_does_not(stores: EtcdStores, keeper: EtcdStore) -> None:
    holder = stores.open()
    in_time = 0
    for _ in range(25):
        began = time.monotonic()
        assert holder.acquire_lease(BROKER, "b", SHORT_MS)
        time.sleep(0.1)
        found = [keeper.read_leases().get(BROKER), holder.read_leases().get(BROKER)]
        assert found == ["b", "b"] or is_late(began)
        in_time += not is_late(began)
    assert in_time > 0


def in_time(attempt: Callable[[], None]) -> None:
    """Try again where it fails and took so long that leases may have ended meanwhile: the machine was busy."""
    for _ in range(10):
        began = time.monotonic()
        try:
            return attempt()
        except AssertionError:
            if time.monotonic() - began < (OVER_MS + SHORT_MS / 2) / 1000:
                raise
            time.sleep(3)  # until no lease of the attempt is left
    raise AssertionError("the machine is too busy for leases of a second")


def test_everybody_looks_at_the_controllers(stores: EtcdStores) -> None:
    first, second, third = stores.open(), stores.open(), stores.open()

    def attempt() -> None:
        assert first.acquire_lease("controller", "one", SHORT_MS)
        assert third.acquire_lease(BROKER, "b", SHORT_MS)
        assert not second.acquire_lease("controller", "two", SHORT_MS)
        time.sleep(OVER_MS / 1000)
        assert second.read_leases() == {BROKER: "b"}, "it leaves the rest to the controller"
        assert second.acquire_lease("controller", "two", SHORT_MS)
        assert second.read_leases() == {"controller": "two"}
        assert not first.acquire_lease("controller", "one", SHORT_MS)

    in_time(attempt)


def test_who_renews_while_it_is_being_ended_has_it_or_knows_that_it_has_not(
    stores: EtcdStores, keeper: EtcdStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The holder wakes up between the first look and the mark, and between the mark and the second look."""
    holder = stores.open()
    looks = keeper._leases._is_over

    def attempt() -> None:
        seen: list[str | None] = []

        def wake_after_the_first_look(lease_id: str) -> bool:
            answer = looks(lease_id)
            assert holder.acquire_lease(BROKER, "b", SHORT_MS)
            seen.append(holder.read_leases().get(BROKER))
            return answer

        assert keeper.acquire_lease("controller", "keeper", 120_000)
        assert holder.acquire_lease(BROKER, "b", SHORT_MS)
        time.sleep(OVER_MS / 1000)
        with monkeypatch.context() as patch:
            patch.setattr(keeper._leases, "_is_over", wake_after_the_first_look)
            assert keeper.read_leases().get(BROKER) == "b", "not ended: it was renewed"
        assert seen == ["b", None], "renewed after the mark: the holder does not count that"
        assert holder.acquire_lease(BROKER, "b", SHORT_MS)
        assert holder.read_leases().get(BROKER) == keeper.read_leases().get(BROKER) == "b"

    in_time(attempt)


def test_a_lease_that_ends_while_it_is_asked_for_is_granted(
    stores: EtcdStores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As when a broker is started again just when the lease of its last life ends: it is not in use by anybody."""
    dead, alive = stores.open(), stores.open()
    assert dead.acquire_lease(BROKER, "dead", 4000)
    asks = alive._leases._ask

    def end_after_the_look(path: str, body: dict[str, object], call_ms: float = 1000) -> dict[str, object]:
        answer = asks(path, body, call_ms)
        if path == "/v3/kv/range":
            dead.release_lease(BROKER, "dead")
        return answer

    monkeypatch.setattr(alive._leases, "_ask", end_after_the_look)
    assert alive.acquire_lease(BROKER, "alive", 4000, "dead")
    assert alive.read_leases() == {BROKER: "alive"}
