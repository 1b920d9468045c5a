"""The n-th operation on the disk fails in the life of a whole directory, for every n and every kind of operation.

Made topics, appends, rolls, flushes, checkpoints, deleted records, retention, a deleted topic, a clean end: one of them
fails and the rest goes on, or the disk is dead from there and the process dies. What the next start finds is what was
acknowledged; a deleted topic does not come back; the marker is there only after an end without failures (wants C8).

Every operation is tried with TAILRACE_EVERY_FAULT=1. Without it each of the four ways of failing takes every fourth,
each a different fourth: together they still meet every operation.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from uuid import UUID

import pytest
from tests.property.test_log_torn_files import picture
from tests.support.faulty_disk import FaultyDisk
from tests.support.log_support import START_MS, batch_of, environment, read_values

from tailrace.base.clock import ManualClock
from tailrace.base.errors import KafkaError, StorageError
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig
from tailrace.log.log import Log
from tailrace.log.logs import Logs

KEPT, TRIMMED, EXPIRING, GONE = (TopicPartition(name, 0) for name in ("kept", "trimmed", "expiring", "gone"))
IDS = {partition: UUID(int=number + 1) for number, partition in enumerate((KEPT, TRIMMED, EXPIRING, GONE))}
SMALL = LogConfig(segment_bytes=700, index_interval_bytes=150, file_delete_delay_ms=0, retention_ms=-1)
EXPIRES = LogConfig(segment_bytes=700, file_delete_delay_ms=0, retention_ms=-1, retention_bytes=1500)
MARKER = ".kafka_cleanshutdown"
IS_THOROUGH = os.environ.get("TAILRACE_EVERY_FAULT", "") not in ("", "0")
WAYS = [(errno.ENOSPC, False), (errno.EIO, False), (errno.ENOSPC, True), (errno.EIO, True)]
STRIDE = 1 if IS_THOROUGH else len(WAYS)


def config_of(topic: str) -> LogConfig:
    return EXPIRES if topic == EXPIRING.topic else SMALL


class Life:
    """What a broker does with a directory, while the disk may fail; what it has promised is noted."""

    def __init__(self, directory: Path, disk: FaultyDisk) -> None:
        self.directory = directory
        self.env = environment(disk, ManualClock(START_MS))
        self.acked: dict[TopicPartition, dict[int, bytes]] = {partition: {} for partition in IDS}
        self.starts = dict.fromkeys(IDS, 0)
        self.logs: Logs | None = None
        self.is_deleted = False
        self.was_clean = False
        self.failures = 0

    def attempt(self, act: Callable[..., object], *args: object) -> bool:
        try:
            act(*args)
        except StorageError:
            self.failures += 1
            return False
        return True

    def run(self) -> None:
        if not (self.attempt(self.open) or self.attempt(self.open)):
            return
        logs = self.logs
        assert logs is not None
        for partition, topic_id in IDS.items():
            self.attempt(logs.create, partition, topic_id)
        for number in range(14):
            for partition in IDS:
                self.attempt(self.append, partition, number)
            if number == 4:
                self.attempt(self.flush, KEPT)
            if number == 6:
                self.attempt(self.trim)
            if number % 5 == 4:
                self.attempt(logs.write_checkpoints)
                self.attempt(logs.apply_retention)
            if number == 9:
                # In a directory that is offline nothing is touched: the metadata knows what to make of it later.
                self.is_deleted = self.attempt(self.delete) and bool(logs.directories.online)
        self.attempt(logs.remove_doomed_files)
        self.was_clean = logs.shut_down()

    def open(self) -> None:
        logs = Logs([self.directory], self.env, config_of)
        try:
            logs.load_all()
        except StorageError:
            logs.abandon()
            raise
        self.logs = logs

    def log(self, partition: TopicPartition) -> Log | None:
        assert self.logs is not None
        return self.logs.get(partition)

    def append(self, partition: TopicPartition, number: int) -> None:
        log = self.log(partition)
        if log is not None:
            value = b"%d" % number
            info = log.append_as_leader(batch_of(2, timestamp=START_MS + number, value=value), number // 5)
            self.acked[partition].update(dict.fromkeys(range(info.first_offset, info.last_offset + 1), value))
            log.high_watermark = log.log_end_offset

    def flush(self, partition: TopicPartition) -> None:
        log = self.log(partition)
        if log is not None:
            log.flush()

    def trim(self) -> None:
        log = self.log(TRIMMED)
        if log is not None and log.log_end_offset > 5:
            assert self.logs is not None
            log.delete_records_before(5)
            self.logs.write_log_start_offsets(self.on_start_written)

    def on_start_written(self, error: StorageError | None) -> None:
        """DeleteRecords is answered from here on: with success where there was no error."""
        if error is None:
            self.starts[TRIMMED] = 5
        else:
            self.failures += 1

    def delete(self) -> None:
        assert self.logs is not None
        self.logs.delete(GONE)

    def check_next_start(self) -> None:
        """What the next process finds."""
        has_marker = (self.directory / MARKER).exists()
        logs = Logs([self.directory], environment(FaultyDisk(), ManualClock(START_MS)), config_of)
        logs.load_all()
        assert not logs.directories[0].failures
        for partition, acked in self.acked.items():
            log = logs.get(partition)
            if partition == GONE and (log is None or self.is_deleted):
                assert log is None or not self.is_deleted, "a deleted topic is back"
                continue
            if log is None:
                assert not acked
                continue
            seen = dict(read_values(log))
            # Retention deletes segments whose failure was told later; the log start says which.
            start = log.log_start_offset
            assert start >= self.starts[partition] and (partition in (EXPIRING, TRIMMED) or start == 0)
            assert {o: v for o, v in acked.items() if o >= start} == {o: v for o, v in seen.items() if o in acked}
            assert list(seen) == list(range(start, log.log_end_offset)), "dense"
        if has_marker:
            assert self.was_clean or self.failures or self.env.disk.failed  # type: ignore[attr-defined]
        if self.was_clean:
            assert has_marker
        logs.create(GONE, UUID(int=99)).append_as_leader(batch_of(), 9)
        assert logs.shut_down()


def operations(directory: Path, *, also_reads: bool = False) -> list[str]:
    """What a life without failures does with the disk."""
    disk = FaultyDisk(also_reads=also_reads)
    life = Life(directory, disk)
    life.run()
    assert life.was_clean and not life.failures
    done = list(disk.operations)
    life.check_next_start()
    return done


@pytest.mark.slow
@pytest.mark.parametrize("way", range(len(WAYS)), ids=["full once", "broken once", "full for good", "broken for good"])
def test_each_operation_fails(tmp_path: Path, way: int) -> None:
    error, dead = WAYS[way]
    for fail_at in range(1 + way % STRIDE, len(operations(tmp_path / "dry", also_reads=True)) + 1, STRIDE):
        directory = tmp_path / str(fail_at)
        disk = FaultyDisk(fail_at, dead=dead, error=error, also_reads=True)
        life = Life(directory, disk)
        life.run()
        if life.logs is not None:
            life.logs.abandon()
        try:
            life.check_next_start()
        except (AssertionError, StorageError, KafkaError) as failure:
            raise AssertionError(f"operation {fail_at}, {disk.failed[:3]}: {failure}") from failure
        shutil.rmtree(directory)


@pytest.mark.slow
def test_each_write_may_be_short(tmp_path: Path) -> None:
    """write(2) may take less than it is given; nobody notices."""
    writes = [number for number, kind in enumerate(operations(tmp_path / "dry"), 1) if kind == "write"]
    for fail_at in writes[::STRIDE]:
        directory = tmp_path / str(fail_at)
        life = Life(directory, FaultyDisk(fail_at, is_short=True))
        life.run()
        assert life.was_clean and not life.failures
        life.check_next_start()
        shutil.rmtree(directory)


@pytest.mark.slow
@pytest.mark.parametrize("was_clean", [False, True])
def test_the_disk_dies_while_a_directory_is_loaded(tmp_path: Path, was_clean: bool) -> None:
    """A crash during loading does not look clean (KAFKA-10471, KAFKA-15375), and what it had begun is begun again."""
    template = tmp_path / "template"
    life = Life(template, FaultyDisk())
    life.run()
    shutil.copytree(template / "kept-0", template / f"old-0.{7:032x}-delete")
    active = sorted((template / "kept-0").glob("*.log"))[-1]
    if not was_clean:
        (template / MARKER).unlink()
        active.write_bytes(active.read_bytes() + b"torn")
        (template / "kept-0" / "00000000000000000000.index.deleted").write_bytes(b"")
    expected = {}
    fail_at = 0
    while True:
        directory = tmp_path / str(fail_at)
        shutil.copytree(template, directory)
        disk = FaultyDisk(fail_at, dead=True, also_reads=True)
        logs = None
        try:
            logs = Logs([directory], environment(disk), config_of)
            logs.load_all()
            for partition in (KEPT, TRIMMED, EXPIRING):
                logs.get(partition)
        except StorageError:
            pass
        if logs is not None:
            logs.abandon()
        again = Logs([directory], environment(FaultyDisk()), config_of)
        assert not again.directories[0].was_clean or not disk.failed or "marker" not in disk.failed[0]
        again.load_all()
        pictures = {}
        for partition in (KEPT, TRIMMED, EXPIRING):
            log = again.get(partition)
            assert log is not None, disk.failed[:2]
            pictures[partition] = picture(log, with_indexes=False)  # only a closed one has a last time entry
        expected = expected or pictures
        assert pictures == expected, (fail_at, disk.failed[:2])
        assert not list(directory.glob("*-delete"))
        again.abandon()
        shutil.rmtree(directory)
        if fail_at and not disk.failed:
            break
        fail_at += 1
    assert fail_at > 30


def test_a_log_of_a_deleted_topic_is_set_aside_when_its_name_comes_back(tmp_path: Path) -> None:
    """The process died between the deletion in the metadata and the directory's new name."""
    logs = Logs([tmp_path], environment(), config_of)
    logs.load_all()
    logs.create(KEPT, UUID(int=1)).append_as_leader(batch_of(value=b"old"), 0)
    logs.abandon()
    again = Logs([tmp_path], environment(), config_of)
    again.load_all()
    fresh = again.create(KEPT, UUID(int=2))
    assert fresh.log_end_offset == 0 and fresh.topic_id == UUID(int=2)
    [stray] = tmp_path.glob("kept-0.*-stray")
    assert b"old" in (stray / "00000000000000000000.log").read_bytes()
    assert again.shut_down()
    third = Logs([tmp_path], environment(), config_of)
    third.load_all()
    assert third.topic_partitions == [KEPT] and third.create(KEPT, UUID(int=2)).log_end_offset == 0
    third.abandon()


def test_a_topic_half_made_is_finished(tmp_path: Path) -> None:
    """The process died after the partition's directory was made, and before its topic id was written."""
    logs = Logs([tmp_path], environment(), config_of)
    (tmp_path / "kept-0").mkdir()
    logs.load_all()
    assert logs.create(KEPT, UUID(int=1)).topic_id == UUID(int=1)
    logs.abandon()
    again = Logs([tmp_path], environment(), config_of)
    again.load_all()
    log = again.get(KEPT)
    assert log is not None and log.topic_id == UUID(int=1)
    again.abandon()
