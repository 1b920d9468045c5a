"""Power loss: what `tests.support.power_loss_disk` takes away, and what a log must keep all the same. systems B2."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tests.support.log_support import batch_of, environment, open_log, read_values
from tests.support.power_loss_disk import PowerLossDisk, Survival

from tailrace.base.disk import write_atomically
from tailrace.base.errors import StorageError
from tailrace.log.config import LogConfig


def _disk(tmp_path: Path) -> PowerLossDisk:
    root = tmp_path / "root"
    root.mkdir()
    return PowerLossDisk(root)


def test_only_what_was_synced_survives(tmp_path: Path) -> None:
    disk = _disk(tmp_path)
    file = disk.open(disk.root / "a")
    file.write(b"one")
    file.sync()
    file.write(b"two")
    disk.lose_power(tmp_path / "no-name", 1)
    disk.sync_directory(disk.root)
    disk.lose_power(tmp_path / "with-name", 1)
    file.close()
    assert list((tmp_path / "no-name").iterdir()) == []
    assert (tmp_path / "with-name" / "a").read_bytes() == b"one"


@pytest.mark.parametrize("survival", [Survival.PREFIX, Survival.ZEROS, Survival.GARBAGE])
def test_some_of_the_rest_may_survive(tmp_path: Path, survival: Survival) -> None:
    """Every outcome begins with what was synced; with enough seeds there are several."""
    disk = _disk(tmp_path)
    file = disk.open(disk.root / "a")
    disk.sync_directory(disk.root)
    file.write(b"one")
    file.sync()
    file.write(b"two")
    file.write(b"three")
    for seed in range(50):
        disk.lose_power(tmp_path / str(seed), seed, survival)
    file.close()
    outcomes = {(tmp_path / str(seed) / "a").read_bytes() for seed in range(50)}
    assert all(outcome[:3] == b"one" and len(outcome) <= 11 for outcome in outcomes)
    assert len(outcomes) > 3
    assert (b"onetwothree" in outcomes) == (survival is Survival.PREFIX)


def test_a_failed_sync_has_dropped_what_it_was_asked_for(tmp_path: Path) -> None:
    """The next sync succeeds, and the bytes are not there: PostgreSQL's fsyncgate."""
    disk = _disk(tmp_path)
    file = disk.open(disk.root / "a")
    disk.sync_directory(disk.root)
    file.write(b"one")

    def fail(path: Path) -> None:
        raise StorageError("fsync", str(path), OSError(errno.EIO, "injected"))

    disk.before_sync = fail
    with pytest.raises(StorageError):
        file.sync()
    disk.before_sync = None
    file.write(b"two")
    file.sync()
    disk.lose_power(tmp_path / "after", 1)
    file.close()
    assert (tmp_path / "after" / "a").read_bytes() == b"\0\0\0two"


def test_a_file_replaced_at_once_is_the_one_or_the_other(tmp_path: Path) -> None:
    disk = _disk(tmp_path)
    write_atomically(disk, disk.root / "a", b"before")
    write_atomically(disk, disk.root / "a", b"after")
    disk.lose_power(tmp_path / "after", 1)
    assert (tmp_path / "after" / "a").read_bytes() == b"after"
    assert sorted(path.name for path in (tmp_path / "after").iterdir()) == ["a"]


@pytest.mark.parametrize("survival", list(Survival))
def test_a_log_keeps_what_was_flushed(tmp_path: Path, survival: Survival) -> None:
    """Whatever becomes of the rest: a prefix of what was appended, which holds all that lies below the flush."""
    disk = _disk(tmp_path)
    log = open_log(disk.root / "topic-0", LogConfig(segment_bytes=700), environment(disk))
    for _ in range(12):
        log.append_as_leader(batch_of(2), 0)
    log.flush()
    flushed = log.log_end_offset
    for _ in range(9):
        log.append_as_leader(batch_of(2), 0)
    appended = read_values(log)
    for seed in range(25):
        disk.lose_power(tmp_path / str(seed), seed, survival)
        found = open_log(tmp_path / str(seed) / "topic-0", LogConfig(segment_bytes=700))
        assert found.log_end_offset >= flushed
        assert read_values(found) == appended[: found.log_end_offset]
        found.abandon()
    log.abandon()
