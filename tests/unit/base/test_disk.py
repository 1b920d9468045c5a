"""The real disk: each failure says what and where; descriptors outlive names and are not reused under a holder."""

from __future__ import annotations

import gc
import os
from pathlib import Path

import pytest

from tailrace.base.disk import (
    RealDisk,
    RealFile,
    lock_directory,
    replace_unsynced,
    sync_path,
    write_atomically,
    write_fully,
)
from tailrace.base.errors import StorageError

DISK = RealDisk()


def test_a_file_grows_at_its_end(tmp_path: Path) -> None:
    file = DISK.open(tmp_path / "x")
    assert file.write(b"abc") == 3
    write_fully(file, memoryview(b"def"))
    assert (file.size(), file.pread(4, 1), file.pread(10, 4), file.pread(1, 99)) == (6, b"bcde", b"ef", b"")
    file.truncate(2)
    file.write(b"Z")
    file.sync()
    assert DISK.read(tmp_path / "x") == b"abZ"
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.fileno()


def test_failures_name_operation_and_path(tmp_path: Path) -> None:
    missing = tmp_path / "no" / "x"
    with pytest.raises(StorageError, match="open"):  # not fsync: whoever reads that fears for written bytes
        DISK.sync_directory(missing)
    for operation, act in {
        "open": lambda: DISK.open(missing),
        "read": lambda: DISK.read(missing),
        "rename": lambda: DISK.rename(missing, tmp_path / "y"),
        "list": lambda: DISK.list(missing),
    }.items():
        with pytest.raises(StorageError) as failed:
            act()
        assert (failed.value.operation, failed.value.path) == (operation, str(missing))
    assert DISK.stat(missing) is None
    DISK.remove(missing)
    sync_path(DISK, missing)


def test_directories(tmp_path: Path) -> None:
    DISK.make_directory(tmp_path / "a" / "b")
    DISK.make_directory(tmp_path / "a" / "b")
    write_atomically(DISK, tmp_path / "a" / "f", b"1")
    replace_unsynced(DISK, tmp_path / "a" / "f", b"22")
    found = DISK.stat(tmp_path / "a" / "f")
    assert found is not None
    assert (found.size, found.is_directory) == (2, False)
    assert DISK.list(tmp_path / "a") == ["b", "f"]
    DISK.remove(tmp_path / "a" / "b")
    with pytest.raises(StorageError):
        DISK.remove(tmp_path / "a")
    assert DISK.list(tmp_path / "a") == ["f"]


def test_a_dropped_file_closes_its_descriptor(tmp_path: Path) -> None:
    file = RealFile(tmp_path / "x")
    number = file.fileno()
    holder = [file]
    del file
    os.fstat(number)
    holder.clear()
    gc.collect()
    with pytest.raises(OSError, match="Bad file"):
        os.fstat(number)


def test_the_lock_is_one_process_at_a_time(tmp_path: Path) -> None:
    lock = lock_directory(tmp_path)
    assert lock is not None
    assert lock_directory(tmp_path) is None
    lock.close()
    again = lock_directory(tmp_path)
    assert again is not None
    again.close()
