"""Metadata in one SQLite file, for one broker process: durable (WAL, synchronous=FULL), one table.

    CREATE TABLE batches (version INTEGER PRIMARY KEY, records TEXT NOT NULL)      records: `records.encode_records`

The header marks the file as ours: application_id = 0x7461696C ("tail"), user_version = SCHEMA_VERSION. Another
program's file and a later version's are refused. The file is locked for as long as it is open: a single process reads
and writes it, so nobody else's changes can appear and every lease is granted.
"""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from tailrace.base.errors import StorageError, TailraceError
from tailrace.cluster.records import Record, decode_records, encode_records
from tailrace.cluster.store import Batch, Loaded, StaleVersion, Watcher

APPLICATION_ID: Final = 0x7461696C
SCHEMA_VERSION: Final = 1
"""Raised when older versions must not read what this one writes."""


_ERRNO: Final = {sqlite3.SQLITE_FULL: errno.ENOSPC, sqlite3.SQLITE_READONLY: errno.EROFS}


class SqliteStore:
    """A MetadataStore in the file at `path`, made if it is not there."""

    def __init__(self, path: Path) -> None:
        """Raises TailraceError, one sentence, when the file is foreign, newer, in use or cannot be opened."""
        self._path = path
        self._leases: dict[str, str] = {}
        try:
            self._connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
        except sqlite3.Error as error:
            raise TailraceError(f"cannot open metadata {path}: {error}") from error
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            busy = "locked" in str(error)
            why = "another process has it open" if busy else f"it is not a metadata file ({error})"
            raise TailraceError(f"cannot open metadata {path}: {why}") from error
        except TailraceError:
            self._connection.close()
            raise

    def _open(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        application_id = run("PRAGMA application_id").fetchone()[0]
        schema_version = run("PRAGMA user_version").fetchone()[0]
        has_tables = run("SELECT count(*) FROM sqlite_master").fetchone()[0] > 0
        if has_tables and application_id != APPLICATION_ID:
            raise TailraceError(f"cannot open metadata {self._path}: it belongs to another program")
        if schema_version > SCHEMA_VERSION:
            message = f"it has format {schema_version} and this version reads up to {SCHEMA_VERSION}"
            raise TailraceError(f"cannot open metadata {self._path}: {message}")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("BEGIN IMMEDIATE")  # takes the lock; nothing is written where the table is there already
        if schema_version != SCHEMA_VERSION:
            run(f"PRAGMA application_id={APPLICATION_ID}")
            run(f"PRAGMA user_version={SCHEMA_VERSION}")
            run("CREATE TABLE batches (version INTEGER PRIMARY KEY, records TEXT NOT NULL)")
        run("COMMIT")
        self._version: int = run("SELECT max(version) FROM batches").fetchone()[0] or 0

    def load(self) -> Loaded:
        return Loaded(self._version, [record for batch in self._read(0) for record in batch.records])

    def load_after(self, version: int) -> list[Batch] | None:
        first = self._connection.execute("SELECT min(version) FROM batches").fetchone()[0] or 1
        return None if version < first and first > 1 else self._read(version)

    def _read(self, after: int) -> list[Batch]:
        query = "SELECT version, records FROM batches WHERE version > ? ORDER BY version"
        try:
            rows = self._connection.execute(query, (after,)).fetchall()
            return [Batch(version, decode_records(text)) for version, text in rows]
        except (sqlite3.Error, ValueError) as error:
            message = f"it is damaged ({error}); put back a copy of it, the logs are not touched"
            raise TailraceError(f"cannot read metadata {self._path}: {message}") from error

    def append(self, expected_version: int, records: Sequence[Record]) -> int:
        self._check_version(expected_version)
        version = expected_version + 1
        try:
            self._connection.execute("INSERT INTO batches VALUES (?, ?)", (version, encode_records(records)))
        except sqlite3.Error as error:
            raise self._write_error(error) from error
        self._version = version
        return version

    def compact(self, version: int, records: Sequence[Record]) -> None:
        self._check_version(version)
        run = self._connection.execute
        try:
            run("BEGIN IMMEDIATE")
            run("DELETE FROM batches")
            run("INSERT INTO batches VALUES (?, ?)", (version, encode_records(records)))
            run("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                run("ROLLBACK")
            raise self._write_error(error) from error

    def _write_error(self, error: sqlite3.Error) -> StorageError:
        """What SQLite met, as the system would say it; nothing was changed."""
        primary = getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
        cause = OSError(_ERRNO.get(primary, errno.EIO), f"the metadata cannot be changed ({error})")
        return StorageError("commit", str(self._path), cause)

    def _check_version(self, expected: int) -> None:
        if self._version != expected:
            raise StaleVersion(f"metadata is at version {self._version}, not {expected}")

    def read_version(self) -> int:
        return self._version

    def watch(self, watcher: Watcher) -> None:
        """Never tells: the file is locked, so no other process appends."""

    def acquire_lease(self, name: str, holder: str, ttl_ms: int, instead_of: str | None = None) -> bool:
        """Always granted: the file is locked, so there is no other holder, and it does not run out."""
        self._leases[name] = holder
        return True

    def release_lease(self, name: str, holder: str) -> None:
        if self._leases.get(name) == holder:
            del self._leases[name]

    def read_leases(self) -> dict[str, str]:
        return dict(self._leases)

    def close(self) -> None:
        self._connection.close()
