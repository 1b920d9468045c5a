"""The contract of metadata stores, run on every one, and what is special to SQLite's file."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.store_contract import EVERY_RECORD, SharedStoreContract, StoreContract

from tailrace.base.clock import ManualClock
from tailrace.base.errors import TailraceError
from tailrace.cluster.memory_store import MemoryStore
from tailrace.cluster.records import (
    decode_records,
)
from tailrace.cluster.sqlite_store import SCHEMA_VERSION, SqliteStore
from tailrace.cluster.store import MetadataStore


class MemoryStores:
    """One log in memory, and the clock of its leases."""

    lease_ttl_ms = 1000

    def __init__(self) -> None:
        self._clock = ManualClock()
        self._first = MemoryStore(self._clock)

    def open(self) -> MetadataStore:
        return MemoryStore(self._clock, shared_with=self._first)

    def wait(self, condition: Callable[[], bool]) -> None:
        assert condition()

    def let_leases_end(self) -> None:
        self._clock.advance(self.lease_ttl_ms)


class SqliteStores:
    """One file."""

    lease_ttl_ms = 1000

    def __init__(self, path: Path) -> None:
        self._path = path

    def open(self) -> MetadataStore:
        return SqliteStore(self._path)

    def wait(self, condition: Callable[[], bool]) -> None:
        assert condition()

    def let_leases_end(self) -> None:
        """They do not: there is one process."""


class TestMemory(SharedStoreContract):
    """The contract, in memory."""

    @pytest.fixture
    def stores(self) -> MemoryStores:
        return MemoryStores()


class TestSqlite(StoreContract):
    """The contract, in a file."""

    @pytest.fixture
    def stores(self, tmp_path: Path) -> SqliteStores:
        return SqliteStores(tmp_path / "metadata.db")


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
