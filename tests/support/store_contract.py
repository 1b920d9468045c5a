"""What every metadata store promises, as tests: `StoreContract` of one that one process opens, `SharedStoreContract` of
one that several share. A module of tests makes a subclass and a fixture `stores`."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import Protocol
from uuid import UUID

import pytest

from tailrace.cluster.records import (
    BrokerRecord,
    ClusterRecord,
    ConfigRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    RemoveTopicRecord,
    ResourceType,
    TopicRecord,
)
from tailrace.cluster.store import MetadataStore, StaleVersion, Watcher

EVERY_RECORD: list[Record] = [
    ClusterRecord("c1"),
    BrokerRecord(1, "h", 9092, None),
    TopicRecord("t", UUID(int=7)),
    PartitionRecord(UUID(int=7), 0, 1, 0, (1, 2), (1,), 3),
    ConfigRecord(2, "t", "retention.ms", "5"),
    ConfigRecord(2, "t", "retention.ms", None),
    ProducerIdsRecord(1, 1000),
    RemoveTopicRecord(UUID(int=7)),
]


def setting(value: int) -> ConfigRecord:
    return ConfigRecord(ResourceType.BROKER, "", "x", str(value))


class Stores(Protocol):
    """One log, opened again and again."""

    lease_ttl_ms: int

    def open(self) -> MetadataStore:
        """Another look at the log; of a store of one process the one before is closed."""
        ...

    def wait(self, condition: Callable[[], bool]) -> None:
        """Let watchers hear what there is to hear, until `condition`. Fails when it does not come."""
        ...

    def let_leases_end(self) -> None:
        """Let so much time pass that no lease that is not renewed runs any more."""
        ...


class Heard:
    """What a watcher was told."""

    def __init__(self) -> None:
        self.batches: list[tuple[int, list[Record]]] = []
        self.behind = 0
        self.leases = 0

    @property
    def watcher(self) -> Watcher:
        return Watcher(self._on_batch, self._on_behind, self._on_leases)

    def _on_batch(self, version: int, records: Sequence[Record]) -> None:
        self.batches.append((version, list(records)))

    def _on_behind(self) -> None:
        self.behind += 1

    def _on_leases(self) -> None:
        self.leases += 1


class StoreContract:
    """Of every store."""

    def test_a_store_begins_empty(self, stores: Stores) -> None:
        store = stores.open()
        assert store.load() == (0, [])
        assert store.read_version() == 0
        assert store.read_leases() == {}
        store.close()

    def test_records_come_back_as_they_went_in_order_after_reopening(self, stores: Stores) -> None:
        store = stores.open()
        assert store.append(0, EVERY_RECORD[:3]) == 1
        assert store.append(1, EVERY_RECORD[3:]) == 2
        store.close()
        again = stores.open()
        assert again.load() == (2, EVERY_RECORD)
        assert again.read_version() == 2
        assert [type(r) for r in again.load().records] == [type(r) for r in EVERY_RECORD]
        again.close()

    def test_an_append_after_another_version_is_refused_and_writes_nothing(self, stores: Stores) -> None:
        store = stores.open()
        store.append(0, EVERY_RECORD[:1])
        for stale in (0, 2):
            with pytest.raises(StaleVersion):
                store.append(stale, EVERY_RECORD[:1])
            with pytest.raises(StaleVersion):
                store.compact(stale, EVERY_RECORD[:1])
        assert store.load() == (1, EVERY_RECORD[:1])
        store.close()

    def test_compacting_replaces_history_and_keeps_the_version(self, stores: Stores) -> None:
        store = stores.open()
        store.append(0, EVERY_RECORD[:1])
        store.append(1, EVERY_RECORD[1:2])
        store.compact(2, EVERY_RECORD[2:3])
        assert store.load() == (2, EVERY_RECORD[2:3])
        assert store.append(2, EVERY_RECORD[3:4]) == 3
        store.compact(3, EVERY_RECORD[4:6])
        store.append(3, EVERY_RECORD[6:7])
        store.close()
        again = stores.open()
        assert again.load() == (4, EVERY_RECORD[4:7])
        again.close()

    def test_what_is_newer_than_a_version_is_read_batch_by_batch(self, stores: Stores) -> None:
        store = stores.open()
        assert store.load_after(0) == []
        for version, record in enumerate(EVERY_RECORD[:3]):
            store.append(version, [record])
        assert store.load_after(1) == [(2, EVERY_RECORD[1:2]), (3, EVERY_RECORD[2:3])]
        assert store.load_after(3) == []
        store.compact(3, EVERY_RECORD[:3])
        store.append(3, EVERY_RECORD[3:4])
        assert store.load_after(2) is None
        assert store.load_after(3) == [(4, EVERY_RECORD[3:4])]
        store.close()

    def test_a_long_history_is_read_whole(self, stores: Stores) -> None:
        store = stores.open()
        for version in range(250):
            store.append(version, [setting(version)])
        assert store.load() == (250, [setting(version) for version in range(250)])
        store.close()

    def test_a_lease_is_granted_to_its_holder_again(self, stores: Stores) -> None:
        store = stores.open()
        assert store.acquire_lease("controller", "a", stores.lease_ttl_ms)
        assert store.acquire_lease("controller", "a", stores.lease_ttl_ms)
        assert store.read_leases() == {"controller": "a"}
        store.release_lease("controller", "a")
        assert store.read_leases() == {}
        store.close()


class SharedStoreContract(StoreContract):
    """Of a store that several processes open."""

    def test_of_two_that_append_after_the_same_version_one_is_refused(self, stores: Stores) -> None:
        one, two = stores.open(), stores.open()
        one.append(0, [setting(1)])
        with pytest.raises(StaleVersion):
            two.append(0, [setting(2)])
        assert two.load_after(0) == [(1, [setting(1)])]
        assert two.append(1, [setting(2)]) == 2
        one.close()
        two.close()

    def test_appenders_at_once_lose_nothing_and_see_one_order(self, stores: Stores) -> None:
        each, writers = 20, 4
        won: list[tuple[int, int]] = []

        def append_some(writer: int, store: MetadataStore) -> None:
            version, done = 0, 0
            while done < each:
                try:
                    version = store.append(version, [setting(writer * each + done)])
                except StaleVersion:
                    version = store.read_version()
                else:
                    won.append((version, writer * each + done))
                    done += 1

        opened = [stores.open() for _ in range(writers)]
        threads = [threading.Thread(target=append_some, args=(n, store)) for n, store in enumerate(opened)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        assert sorted(version for version, _ in won) == list(range(1, writers * each + 1))
        in_order = [setting(value) for _, value in sorted(won)]
        assert opened[0].load() == (writers * each, in_order)
        for store in opened:
            store.close()

    def test_watchers_hear_what_others_append_in_order_from_their_load_on(self, stores: Stores) -> None:
        one, two = stores.open(), stores.open()
        one.append(0, [setting(0)])
        two.load()
        one.append(1, [setting(1)])  # between the load and the watch
        heard = Heard()
        two.watch(heard.watcher)
        for version in range(2, 6):
            one.append(version, [setting(version)])
        expected = [(version + 1, [setting(version)]) for version in range(2, 6)]
        stores.wait(lambda: heard.batches[-4:] == expected)
        assert heard.batches in (expected, [(2, [setting(1)]), *expected])
        one.close()
        two.close()

    def test_a_lease_excludes_others_until_it_ends(self, stores: Stores) -> None:
        one, two = stores.open(), stores.open()
        assert one.acquire_lease("controller", "a", stores.lease_ttl_ms)
        assert not two.acquire_lease("controller", "b", stores.lease_ttl_ms)
        assert two.read_leases() == {"controller": "a"}
        stores.let_leases_end()
        assert two.read_leases() == {}
        assert two.acquire_lease("controller", "b", stores.lease_ttl_ms)
        assert not one.acquire_lease("controller", "a", stores.lease_ttl_ms)
        one.close()
        two.close()

    def test_a_lease_of_the_dead_is_taken_over_at_once(self, stores: Stores) -> None:
        one, two = stores.open(), stores.open()
        assert one.acquire_lease("broker-1", "dead", stores.lease_ttl_ms)
        assert not two.acquire_lease("broker-1", "alive", stores.lease_ttl_ms, instead_of="another")
        assert two.acquire_lease("broker-1", "alive", stores.lease_ttl_ms, instead_of="dead")
        assert one.read_leases() == {"broker-1": "alive"}
        one.close()
        two.close()

    def test_watchers_hear_of_leases(self, stores: Stores) -> None:
        one, two = stores.open(), stores.open()
        two.load()
        heard = Heard()
        two.watch(heard.watcher)
        one.acquire_lease("broker-1", "a", stores.lease_ttl_ms)
        stores.wait(lambda: heard.leases >= 1)
        one.release_lease("broker-1", "a")
        stores.wait(lambda: heard.leases >= 2)
        assert two.read_leases() == {}
        one.close()
        two.close()
