"""What waits for the disk does not wait in the owner's thread: checkpoints, flush.ms, unlinking, the end."""

from __future__ import annotations

import errno
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

import pytest
from tests.support.counting_disk import CountingDisk
from tests.support.held_background import HeldBackground
from tests.support.log_support import PARTITION, START_MS, batch_of
from tests.support.power_loss_disk import PowerLossDisk

from tailrace.base.clock import ManualClock
from tailrace.base.errors import StorageError
from tailrace.base.limits import VOLUME_SYNC_MIN_LOGS
from tailrace.base.rand import SeededRandom
from tailrace.base.types import TopicPartition
from tailrace.log.checkpoint import LOG_START_OFFSETS, RECOVERY_POINTS, read_offsets
from tailrace.log.config import LogConfig, LogEnvironment
from tailrace.log.flush_queue import FLUSHES_MAX
from tailrace.log.log import Log
from tailrace.log.log_directory import CLEAN_SHUTDOWN
from tailrace.log.logs import Logs

CONFIG = LogConfig(segment_bytes=300, flush_ms=1000, file_delete_delay_ms=500)


class Bench(NamedTuple):
    root: Path
    disk: PowerLossDisk
    clock: ManualClock
    background: HeldBackground
    logs: Logs

    def log(self, partition: TopicPartition = PARTITION) -> Log:
        log = self.logs.create(partition, UUID(int=1))
        log.append_as_leader(batch_of(2), 0)
        log.high_watermark = log.log_end_offset
        return log


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    disk, clock, background = PowerLossDisk(tmp_path), ManualClock(START_MS), HeldBackground()
    env = LogEnvironment(disk, clock, SeededRandom(1), background)
    made = Bench(tmp_path, disk, clock, background, Logs([tmp_path], env, lambda topic: CONFIG))
    made.logs.load_all(lambda topic: UUID(int=1))
    yield made
    background.run_all()
    made.logs.abandon()


def files_of(log: Log) -> set[str]:
    return {path.name for path in log.directory.iterdir()}


def test_a_checkpoint_says_what_was_when_it_was_asked_for_and_one_is_written_at_a_time(bench: Bench) -> None:
    log = bench.log()
    told: list[StorageError | None] = []
    path = bench.root / LOG_START_OFFSETS
    log.advance_log_start_offset(1)
    bench.logs.write_log_start_offsets(told.append)
    log.advance_log_start_offset(2)
    for _ in range(3):
        bench.logs.write_log_start_offsets(told.append)
    assert len(bench.background) == 1
    assert told == []
    bench.background.run()
    assert read_offsets(bench.disk, path) == {PARTITION: 1}
    assert told == [None]
    assert len(bench.background) == 1, "three rounds became one"
    bench.background.run()
    assert read_offsets(bench.disk, path) == {PARTITION: 2}
    assert told == [None] * 4
    assert len(bench.background) == 0


def test_a_checkpoint_that_fails_is_told_and_takes_its_directory_offline(bench: Bench) -> None:
    bench.log()
    told: list[StorageError | None] = []

    def fail(path: Path) -> None:
        raise StorageError("fsync", str(path), OSError(errno.EIO, "injected"))

    bench.disk.before_sync = fail
    bench.logs.write_log_start_offsets(told.append)
    bench.logs.write_log_start_offsets(told.append)
    bench.background.run_all()
    assert [error is not None for error in told] == [True, True]
    assert bench.logs.directories[0].error is told[0]


def test_flush_ms_is_obeyed_in_the_background_once_at_a_time(bench: Bench) -> None:
    log = bench.log()
    bench.logs.flush_due()
    assert len(bench.background) == 0
    bench.clock.advance(1000)
    bench.logs.flush_due()
    bench.logs.flush_due()
    assert len(bench.background) == 1
    log.append_as_leader(batch_of(1), 0)
    bench.background.run()
    assert (log.recovery_point, log.log_end_offset) == (2, 3)


def test_a_round_of_flushes_holds_few_files_open_and_passes_over_logs_that_are_gone(bench: Bench) -> None:
    logs = [bench.log(TopicPartition("topic", index)) for index in range(3 * FLUSHES_MAX)]
    bench.clock.advance(1000)
    bench.logs.flush_due()
    bench.logs.flush_due()
    assert len(bench.background) == FLUSHES_MAX
    gone = logs[-1]
    bench.logs.delete(gone.topic_partition)
    most = 0
    while len(bench.background):
        most = max(most, len(bench.background))
        bench.background.run()
    assert most <= FLUSHES_MAX + 1, "the sync of the deletion besides"
    assert {log.recovery_point for log in logs[:-1]} == {2}
    assert gone.recovery_point == 0


def test_a_round_of_checkpoints_is_a_step_a_log_and_a_step_a_file(bench: Bench) -> None:
    """Each file is a copy of one moment: what a client was answered meanwhile is in it, or in one written after it."""
    logs = [bench.log(TopicPartition("topic", index)) for index in range(3)]
    steps = bench.logs.checkpoint_steps()
    for _ in range(len(logs) + 1):
        next(steps)
    logs[0].advance_log_start_offset(1)
    bench.logs.delete(logs[2].topic_partition)
    for _ in steps:
        pass
    bench.background.run_all()
    assert read_offsets(bench.disk, bench.root / RECOVERY_POINTS) == {log.topic_partition: 0 for log in logs}
    assert read_offsets(bench.disk, bench.root / LOG_START_OFFSETS) == {
        logs[0].topic_partition: 1,
        logs[1].topic_partition: 0,
    }


def test_a_round_of_checkpoints_moves_the_recovery_point_after_flushes_of_batches_alone(bench: Bench) -> None:
    log = bench.log()
    log.update_config(LogConfig(flush_before_ack=True))
    log.append_as_leader(batch_of(1), 0)
    assert (log.flushed_offset, log.recovery_point) == (3, 0)
    bench.logs.write_checkpoints()
    bench.background.run_all()
    assert log.recovery_point == 3
    bench.logs.write_checkpoints()
    bench.background.run_all()
    assert read_offsets(bench.disk, bench.root / RECOVERY_POINTS) == {PARTITION: 3}


def test_a_flush_that_found_no_descriptor_is_tried_again_with_the_next_checkpoints(bench: Bench) -> None:
    log = bench.log()
    log.update_config(LogConfig(flush_before_ack=True))

    def fail(path: Path) -> None:
        raise StorageError("open", str(path), OSError(errno.EMFILE, "injected"))

    bench.disk.before_sync = fail
    log.append_as_leader(batch_of(1), 0)
    bench.disk.before_sync = None
    assert log.committable_offset == log.flushed_offset == 0
    bench.logs.write_checkpoints()
    assert log.committable_offset == log.flushed_offset == 3


def test_deleted_files_are_unlinked_in_the_background_and_again_where_that_failed(bench: Bench) -> None:
    log = bench.log()
    for _ in range(6):
        log.append_as_leader(batch_of(2), 0)
    log.high_watermark = log.log_end_offset
    bench.background.run_all()
    log.advance_log_start_offset(8)
    deleted = {name for name in files_of(log) if name.endswith(".deleted")}
    assert deleted
    bench.clock.advance(500)
    bench.logs.remove_doomed_files()
    assert deleted < files_of(log)
    _, done = bench.background.take()
    done(StorageError("remove", str(log.directory / "x"), OSError(errno.ENOENT, "injected")))
    bench.logs.remove_doomed_files()
    bench.background.run()
    assert not deleted & files_of(log)


def test_the_end_of_many_logs_is_one_round_of_flushes(bench: Bench) -> None:
    """What `shut_down` would do one log after the other is submitted at once, and leaves it nothing to sync."""
    logs = [bench.log(TopicPartition("topic", index)) for index in range(8)]
    told: list[StorageError | None] = []
    bench.logs.begin_shut_down(told.append)
    assert len(bench.background) == 8
    bench.background.run_all()
    assert told == [None]
    assert all(log.recovery_point == log.log_end_offset for log in logs)
    bench.disk.synced.clear()
    assert bench.logs.shut_down()
    assert {path.parent for path in bench.disk.synced} <= {bench.root, bench.root.parent}, "only checkpoints and marker"


def test_deleting_a_topic_syncs_its_log_directory_once_and_elsewhere(tmp_path: Path) -> None:
    disk, background = PowerLossDisk(tmp_path), HeldBackground()
    deferred: list[Callable[[], object]] = []
    env = LogEnvironment(disk, ManualClock(START_MS), SeededRandom(1), background, defer=deferred.append)
    logs = Logs([tmp_path], env, lambda topic: CONFIG)
    logs.load_all(lambda topic: UUID(int=1))
    partitions = [TopicPartition("topic", index) for index in range(10)]
    for partition in partitions:
        logs.create(partition, UUID(int=1))
    disk.synced.clear()
    for partition in partitions:
        logs.delete(partition)
    assert len(deferred) == 1
    deferred.pop()()
    assert (disk.synced, len(background)) == ([], 1), "the caller waits for none"
    background.run()
    assert disk.synced == [tmp_path]
    logs.delete(logs.create(partitions[0], UUID(int=2)).topic_partition)
    assert len(deferred) == 1, "what comes later is synced again"
    logs.abandon()


def test_deleting_a_log_that_was_not_opened_reads_nothing_of_it(tmp_path: Path) -> None:
    disk = CountingDisk()
    names = [TopicPartition("topic", index) for index in range(3)]
    for is_first in (True, False):
        logs = Logs([tmp_path], LogEnvironment(disk, ManualClock(START_MS), SeededRandom(1)), lambda topic: CONFIG)
        logs.load_all(lambda topic: UUID(int=1))
        if is_first:
            for name in names:
                logs.create(name, UUID(int=1)).append_as_leader(batch_of(2), 0)
            assert logs.shut_down()
    disk.operations.clear()
    for name in names:
        logs.delete(name)
    assert [operation.split()[0] for operation in disk.operations] == ["rename", "fsync"] * 3
    assert len(logs) == 0 and all(logs.get(name) is None for name in names)
    assert logs.create(names[0], UUID(int=2)).log_end_offset == 0
    assert logs.shut_down()


def test_a_sync_of_a_deletion_that_fails_takes_the_directory_offline(bench: Bench) -> None:
    bench.log()
    bench.logs.delete(PARTITION)
    _, done = bench.background.take()
    done(StorageError("fsync", str(bench.root), OSError(errno.EIO, "injected")))
    assert bench.logs.directories[0].error is not None


def many_logs(bench: Bench) -> list[Log]:
    logs = [bench.log(TopicPartition("topic", index)) for index in range(VOLUME_SYNC_MIN_LOGS)]
    bench.disk.synced.clear()
    told: list[StorageError | None] = []
    bench.logs.begin_shut_down(told.append)
    assert (len(bench.background), told, bench.disk.synced) == (0, [None], []), "all is left to the sync of the volume"
    return logs


def test_the_end_of_very_many_logs_is_one_sync_of_their_volume(bench: Bench, tmp_path_factory: Any) -> None:
    logs = many_logs(bench)
    assert bench.logs.shut_down()
    assert bench.disk.synced[0] == bench.root
    assert {path.parent for path in bench.disk.synced[1:]} <= {bench.root, bench.root.parent}, "checkpoints and marker"
    after = tmp_path_factory.mktemp("power") / "lost"
    bench.disk.lose_power(after, 1)
    again = Logs([after], LogEnvironment(), lambda topic: CONFIG)
    assert again.directories[0].was_clean
    again.load_all(lambda topic: UUID(int=1))
    for log in logs:
        found = again.get(log.topic_partition)
        assert found is not None and found.log_end_offset == log.log_end_offset == 2
    again.abandon()


def test_a_sync_of_the_volume_that_fails_leaves_the_logs_to_recovery(bench: Bench, tmp_path_factory: Any) -> None:
    logs = many_logs(bench)
    before = {log.topic_partition: log.recovery_point for log in logs}

    def fail(path: Path) -> None:
        raise StorageError("fsync", str(path), OSError(errno.EIO, "injected"))

    bench.disk.before_sync = fail
    assert not bench.logs.shut_down()
    assert {log.topic_partition: log.recovery_point for log in logs} == before
    after = tmp_path_factory.mktemp("power") / "lost"
    bench.disk.lose_power(after, 1)
    assert not (after / CLEAN_SHUTDOWN).exists()
    assert not (bench.root / CLEAN_SHUTDOWN).exists()


def test_a_stop_forgets_flushes_that_wait_and_closes_the_logs_once(bench: Bench) -> None:
    logs = [bench.log(TopicPartition("topic", index)) for index in range(2 * FLUSHES_MAX)]
    bench.clock.advance(1000)
    bench.logs.flush_due()
    told: list[StorageError | None] = []
    bench.logs.begin_shut_down(told.append)
    bench.background.run_all()
    assert told == [None]
    assert {log.recovery_point for log in logs} == {2}
    assert bench.logs.shut_down()
