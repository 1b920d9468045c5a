"""The keys of `keys.Keys` in a SQLite file, so that a cluster's metadata outlives its processes.

    CREATE TABLE keys (key BLOB PRIMARY KEY, value BLOB, create_revision INTEGER, mod_revision INTEGER)
    CREATE TABLE revision (revision INTEGER)                        one row

A change is on the device before anybody is answered. Keys under leases are not kept: with the process the leases go.
The file is locked while it is open. Raises TailraceError, one sentence, for a file that is foreign, in use or broken.
"""

from __future__ import annotations

import sqlite3
from pathlib import Path
from typing import Final

from tailrace.base.errors import StorageError, TailraceError
from tailrace.local.keys import Change, Keys, KeyValue

APPLICATION_ID: Final = 0x7461696B
"""Marks the file as ours: "taik"."""
SCHEMA_VERSION: Final = 1


class KeysFile:
    """The file at `path`, made if it is not there. Used from one thread."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection = sqlite3.connect(path, isolation_level=None, timeout=0, check_same_thread=False)
        try:
            self._open()
        except sqlite3.Error as error:
            self._connection.close()
            why = "another process has it open" if "locked" in str(error) else str(error)
            raise TailraceError(f"cannot open the cluster's metadata {path}: {why}") from error
        except TailraceError:
            self._connection.close()
            raise

    def _open(self) -> None:
        run = self._connection.execute
        run("PRAGMA locking_mode=EXCLUSIVE")
        is_empty = run("SELECT count(*) FROM sqlite_master").fetchone()[0] == 0
        marks = (run("PRAGMA application_id").fetchone()[0], run("PRAGMA user_version").fetchone()[0])
        if not is_empty and marks != (APPLICATION_ID, SCHEMA_VERSION):
            raise TailraceError(f"cannot open the cluster's metadata {self._path}: it was not written by this version")
        run("PRAGMA journal_mode=WAL")
        run("PRAGMA synchronous=FULL")
        run("BEGIN IMMEDIATE")
        if is_empty:
            run(f"PRAGMA application_id={APPLICATION_ID}")
            run(f"PRAGMA user_version={SCHEMA_VERSION}")
            run(
                "CREATE TABLE keys (key BLOB PRIMARY KEY, value BLOB, create_revision INTEGER, mod_revision INTEGER)"
                " WITHOUT ROWID"
            )
            run("CREATE TABLE revision (revision INTEGER)")
            run("INSERT INTO revision VALUES (1)")
        run("COMMIT")

    def load_into(self, keys: Keys) -> None:
        """Let `keys` begin with what is here."""
        run = self._connection.execute
        revision = run("SELECT revision FROM revision").fetchone()[0]
        found = run("SELECT key, value, create_revision, mod_revision FROM keys ORDER BY key")
        keys.load(revision, [KeyValue(*row) for row in found])

    def write(self, change: Change) -> None:
        """Keep a change, durably. Raises StorageError, and then it is not kept."""
        run = self._connection.execute
        kept = [
            each
            for each in change.keys
            if not (each.after or each.before or _NOTHING).lease  # a lease ends with the process, and its keys with it
        ]
        if not kept:
            return
        try:
            run("BEGIN IMMEDIATE")
            for key, _, after in kept:
                if after is None:
                    run("DELETE FROM keys WHERE key = ?", (key,))
                else:
                    row = (after.key, after.value, after.create_revision, after.mod_revision)
                    run("INSERT OR REPLACE INTO keys VALUES (?, ?, ?, ?)", row)
            run("UPDATE revision SET revision = ?", (change.revision,))
            run("COMMIT")
        except sqlite3.Error as error:
            if self._connection.in_transaction:
                run("ROLLBACK")
            raise StorageError("commit", str(self._path), OSError(0, str(error))) from error

    def close(self) -> None:
        """Let others have the file."""
        self._connection.close()


_NOTHING: Final = KeyValue(b"", b"", 0, 0)
