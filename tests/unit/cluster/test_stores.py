"""The contract of metadata stores, run on every one, and what is special to SQLite's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest

from tailrace.base.clock import ManualClock
from tailrace.base.errors import TailraceError
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.records import (
    BrokerRecord,
    ClusterRecord,
    ConfigRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    RemoveTopicRecord,
    TopicRecord,
    decode_records,
)
from tailrace.cluster.sqlite_store import SCHEMA_VERSION, SqliteStore
from tailrace.cluster.store import MetadataStore, StaleVersion

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


@pytest.fixture(params=["memory", "sqlite"])
def open_store(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], MetadataStore]:
    """Opens the same store, again and again."""
    if request.param == "sqlite":
        return lambda: SqliteStore(tmp_path / "metadata.db")
    first = MemoryStore(ManualClock())
    return lambda: MemoryStore(ManualClock(), shared_with=first)


def test_a_store_begins_empty(open_store: Callable[[], MetadataStore]) -> None:
    assert open_store().load() == (0, [])


def test_records_come_back_as_they_went_in_order_after_reopening(open_store: Callable[[], MetadataStore]) -> None:
    store = open_store()
    assert store.append(0, EVERY_RECORD[:3]) == 1
    assert store.append(1, EVERY_RECORD[3:]) == 2
    store.close()
    again = open_store()
    assert again.load() == (2, EVERY_RECORD)
    assert [type(r) for r in again.load().records] == [type(r) for r in EVERY_RECORD]
    again.close()


def test_an_append_after_another_version_is_refused_and_writes_nothing(open_store: Callable[[], MetadataStore]) -> None:
    store = open_store()
    store.append(0, EVERY_RECORD[:1])
    for stale in (0, 2):
        with pytest.raises(StaleVersion):
            store.append(stale, EVERY_RECORD[:1])
        with pytest.raises(StaleVersion):
            store.compact(stale, EVERY_RECORD[:1])
    assert store.load() == (1, EVERY_RECORD[:1])
    store.close()


def test_compacting_replaces_history_and_keeps_the_version(open_store: Callable[[], MetadataStore]) -> None:
    store = open_store()
    store.append(0, EVERY_RECORD[:1])
    store.append(1, EVERY_RECORD[1:2])
    store.compact(2, EVERY_RECORD[2:3])
    assert store.load() == (2, EVERY_RECORD[2:3])
    assert store.append(2, EVERY_RECORD[3:4]) == 3
    store.close()
    again = open_store()
    assert again.load() == (3, EVERY_RECORD[2:4])
    again.close()


def test_what_is_newer_than_a_version_is_read_batch_by_batch(open_store: Callable[[], MetadataStore]) -> None:
    store = open_store()
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


def test_a_lease_is_granted_to_its_holder_again(open_store: Callable[[], MetadataStore]) -> None:
    store = open_store()
    assert store.acquire_lease("controller", "a", 1000)
    assert store.acquire_lease("controller", "a", 1000)
    store.close()


def test_memory_leases_exclude_others_until_they_end() -> None:
    clock = ManualClock()
    one = MemoryStore(clock)
    two = MemoryStore(clock, shared_with=one)
    assert one.acquire_lease("controller", "a", 1000)
    assert not two.acquire_lease("controller", "b", 1000)
    clock.advance(1000)
    assert two.acquire_lease("controller", "b", 1000)
    assert not one.acquire_lease("controller", "a", 1000)


def test_memory_watchers_hear_of_what_others_append_only() -> None:
    one = MemoryStore(ManualClock())
    two = MemoryStore(ManualClock(), shared_with=one)
    heard: list[tuple[int, list[Record]]] = []
    two.watch(lambda version, records: heard.append((version, list(records))))
    one.append(0, EVERY_RECORD[:1])
    two.append(1, EVERY_RECORD[1:2])
    assert heard == [(1, EVERY_RECORD[:1])]


def test_a_second_process_is_refused_in_one_sentence(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path / "m.db")
    with pytest.raises(TailraceError, match="another process has it open"):
        SqliteStore(tmp_path / "m.db")
    store.close()


def test_a_foreign_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "foreign.db"
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE theirs (x)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(TailraceError, match="belongs to another program"):
        SqliteStore(path)
    assert path.read_bytes() == before


def test_a_file_that_is_no_database_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "noise.db"
    path.write_bytes(b"not a database, at all" * 100)
    with pytest.raises(TailraceError, match="not a metadata file"):
        SqliteStore(path)


def test_a_later_format_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "later.db"
    SqliteStore(path).close()
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version={SCHEMA_VERSION + 1}")
    connection.close()
    with pytest.raises(TailraceError, match=f"format {SCHEMA_VERSION + 1}"):
        SqliteStore(path)


@pytest.mark.parametrize("text", ['[{"type":"spaceship","x":1}]', '[{"type":"cluster","cluster_id":"a","later":1}]'])
def test_a_record_of_a_later_version_is_refused(text: str) -> None:
    with pytest.raises(TailraceError, match="does not know"):
        decode_records(text)


def test_a_second_process_is_refused_on_a_file_that_was_there_before(tmp_path: Path) -> None:
    SqliteStore(tmp_path / "m.db").close()
    store = SqliteStore(tmp_path / "m.db")
    with pytest.raises(TailraceError, match="another process has it open"):
        SqliteStore(tmp_path / "m.db")
    store.close()


def test_every_appended_batch_survives_a_copy_taken_without_closing(tmp_path: Path) -> None:
    """What a crash leaves: the files as they are on disk at that moment."""
    store = SqliteStore(tmp_path / "m.db")
    for version, record in enumerate(EVERY_RECORD):
        store.append(version, [record])
        crashed = tmp_path / f"crashed{version}"
        crashed.mkdir()
        for path in tmp_path.glob("m.db*"):
            (crashed / path.name).write_bytes(path.read_bytes())
        again = SqliteStore(crashed / "m.db")
        assert again.load() == (version + 1, EVERY_RECORD[: version + 1])
        again.close()
    store.close()


@pytest.mark.parametrize("cut", range(0, 400, 7))
def test_a_cut_off_write_ahead_log_loses_whole_batches_only(tmp_path: Path, cut: int) -> None:
    store = SqliteStore(tmp_path / "m.db")
    for version, record in enumerate(EVERY_RECORD):
        store.append(version, [record])
    crashed = tmp_path / "crashed"
    crashed.mkdir()
    (crashed / "m.db").write_bytes((tmp_path / "m.db").read_bytes())
    log = (tmp_path / "m.db-wal").read_bytes()
    (crashed / "m.db-wal").write_bytes(log[: len(log) - cut * 50])
    store.close()
    again = SqliteStore(crashed / "m.db")
    version, records = again.load()
    assert records == EVERY_RECORD[:version]
    assert again.append(version, EVERY_RECORD[:1]) == version + 1
    again.close()
