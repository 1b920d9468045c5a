"""The sync of a whole volume: what it raises, and where it is not to be had."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tailrace.base import volume_sync
from tailrace.base.disk import RealDisk
from tailrace.base.errors import StorageError
from tailrace.base.volume_sync import can_sync_volumes


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    can_sync_volumes.cache_clear()
    yield
    can_sync_volumes.cache_clear()


@pytest.mark.parametrize(
    ("platform", "release", "can"),
    [
        ("linux", "6.1.0-18-amd64", True),
        ("linux", "5.8", True),
        ("linux", "5.7.19", False),
        ("linux", "4.19.0-26", False),
        ("linux", "unknown.release", False),
        ("darwin", "23.1.0", False),
    ],
)
def test_only_kernels_that_tell_what_failed_are_asked(
    platform: str, release: str, can: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "platform", platform)
    monkeypatch.setattr(volume_sync.os, "uname", lambda: os.uname_result(("", "", release, "", "")))
    assert can_sync_volumes() is can


@pytest.mark.skipif(not can_sync_volumes(), reason="this system has no sync of a volume")
def test_a_volume_is_synced_or_says_why_not(tmp_path: Path) -> None:
    disk = RealDisk()
    file = disk.open(tmp_path / "x")
    file.write(b"1")
    disk.sync_volume(tmp_path, file)
    read_end, write_end = os.pipe()
    os.close(write_end)
    os.close(read_end)
    with pytest.raises(OSError) as refused:
        volume_sync.sync_volume(read_end)
    assert refused.value.errno == errno.EBADF
    with pytest.raises(StorageError, match="fsync"):
        disk.sync_volume(tmp_path, _Bad(read_end))  # type: ignore[arg-type]


class _Bad:
    def __init__(self, fd: int) -> None:
        self._fd = fd

    def fileno(self) -> int:
        return self._fd
