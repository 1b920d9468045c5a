"""Group commit: one sync for all that came while the one before was running, and nothing promised before its end."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest
from tests.support.held_background import HeldBackground
from tests.support.log_support import START_MS, batch_of, idempotent_batch, open_log
from tests.support.power_loss_disk import PowerLossDisk

from tailrace.base.clock import ManualClock
from tailrace.base.errors import StorageError
from tailrace.base.rand import SeededRandom
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.log import Log

BEFORE_ACK = LogConfig(flush_before_ack=True)


class Bench:
    """A log whose syncs wait to be let go."""

    def __init__(self, tmp_path: Path, config: LogConfig = BEFORE_ACK) -> None:
        root = tmp_path / "root"
        root.mkdir()
        self.disk = PowerLossDisk(root)
        self.syncing = HeldBackground()
        self.reported: list[StorageError] = []
        self.told: list[StorageError | None] = []
        env = LogEnvironment(
            self.disk, ManualClock(START_MS), SeededRandom(1), syncing=self.syncing, report=self.reported.append
        )
        self.log = open_log(root / "topic-0", config, env)
        self.log.group_commit.on_flushed = self.told.append
        self.disk.synced.clear()

    def append(self, count: int = 1) -> None:
        for _ in range(count):
            self.log.append_as_leader(batch_of(1), 0)


def offsets(log: Log) -> tuple[int, int, int]:
    return log.flushed_offset, log.committable_offset, log.log_end_offset


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path)


def test_one_sync_serves_all_that_came_while_the_one_before_ran(bench: Bench) -> None:
    bench.append()
    bench.append(30)
    assert len(bench.syncing) == 1
    assert offsets(bench.log) == (0, 0, 31)
    bench.syncing.run()
    assert bench.log.flushed_offset == 1, "what came after the sync began is not promised"
    bench.append(5)
    assert len(bench.syncing) == 1
    bench.syncing.run()
    bench.syncing.run()
    assert offsets(bench.log) == (36, 36, 36)
    assert bench.told == [None, None, None]
    files = [path.name for path in bench.disk.synced if path.suffix == ".log"]
    assert len(files) == 3
    assert len(bench.syncing) == 0


def test_names_are_synced_once_and_with_each_new_segment(tmp_path: Path) -> None:
    bench = Bench(tmp_path, LogConfig(flush_before_ack=True, segment_bytes=200))
    synced = bench.disk.synced
    bench.append()
    bench.syncing.run()
    assert [path.name for path in synced] == [f"{0:020}.log", "topic-0", "root"]
    synced.clear()
    bench.append()
    bench.syncing.run()
    assert [path.name for path in synced] == [f"{0:020}.log"]
    bench.append(2)
    synced.clear()  # the roll has flushed what it sealed
    bench.syncing.run_all()
    assert bench.log.flushed_offset == 4
    assert [path.name for path in synced] == [f"{2:020}.log", "topic-0", f"{2:020}.log"]


def test_the_recovery_point_stays_where_the_indexes_are(bench: Bench) -> None:
    bench.append(3)
    bench.syncing.run_all()
    assert (bench.log.flushed_offset, bench.log.recovery_point) == (3, 0)
    bench.log.flush()
    assert (bench.log.flushed_offset, bench.log.recovery_point) == (3, 3)


def test_flush_messages_asks_for_every_nth_record(tmp_path: Path) -> None:
    """Kafka flushes within the append: the record that is one too many is committed, with those before, after it."""
    bench = Bench(tmp_path, LogConfig(flush_messages=3))
    bench.append(2)
    assert len(bench.syncing) == 0
    assert offsets(bench.log) == (0, 2, 2)
    bench.append()
    assert offsets(bench.log) == (0, 0, 3)
    bench.syncing.run()
    assert offsets(bench.log) == (3, 3, 3)


def test_a_failed_sync_is_the_last_one(bench: Bench) -> None:
    """Nothing that came before it or after it is ever promised, and no sync is tried again."""
    bench.append()

    def fail(path: Path) -> None:
        raise StorageError("fsync", str(path), OSError(errno.EIO, "injected"))

    bench.disk.before_sync = fail
    bench.append()
    bench.syncing.run()
    bench.disk.before_sync = None
    assert bench.told == bench.reported == [bench.log.flush_error]
    bench.append(3)
    assert len(bench.syncing) == 0
    assert bench.log.group_commit.is_lost
    assert (bench.log.flushed_offset, bench.log.recovery_point, bench.log.committable_offset) == (0, 0, 0)
    with pytest.raises(StorageError, match="injected"):
        bench.log.flush()
    assert bench.disk.synced == []


def test_a_sync_of_what_was_cut_off_meanwhile_promises_nothing(bench: Bench) -> None:
    bench.append(4)
    bench.log.truncate_to(2)
    bench.append()
    bench.syncing.run()
    assert bench.log.flushed_offset == 0
    bench.syncing.run()
    assert offsets(bench.log) == (3, 3, 3)


def test_nobody_is_told_of_a_log_that_was_deleted_meanwhile(bench: Bench) -> None:
    bench.append()
    bench.log.delete(bench.disk.root / "topic-0.gone-delete")
    bench.syncing.run()
    assert (bench.told, bench.reported, bench.log.flush_error) == ([], [], None)


def test_a_retry_asks_for_nothing_and_is_committed_with_the_first(bench: Bench) -> None:
    first = bench.log.append_as_leader(idempotent_batch(0, 2), 0)
    again = bench.log.append_as_leader(idempotent_batch(0, 2), 0)
    assert again.last_offset == first.last_offset == 1
    assert bench.log.committable_offset == 0
    bench.syncing.run()
    assert bench.log.committable_offset == 2
