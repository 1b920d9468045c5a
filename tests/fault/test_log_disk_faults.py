"""The n-th operation on the disk fails, for every n: what was acknowledged is there afterwards, in order, once.

Two ways: the one operation fails and the log goes on (a full disk that is cleared), and the disk is dead from there on
and the process dies (the log is opened again by another). systems B2 (c), issue of storage: "lose nothing".
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.faulty_disk import FaultyDisk
from tests.support.log_support import START_MS, batch_of, environment, idempotent_batch, open_log, read_values

from tailrace.base.errors import KafkaError, StorageError
from tailrace.base.types import TopicPartition
from tailrace.log.config import LogConfig
from tailrace.log.log import AppendOrigin, Log
from tailrace.log.logs import Logs
from tailrace.records.control import EndTxnMarker, build_end_txn_marker

SMALL = LogConfig(segment_bytes=1200, index_interval_bytes=150, file_delete_delay_ms=0, retention_ms=-1)

Acked = dict[int, bytes]


class Scenario:
    """Appends of every kind, rolls, flushes, deletions, a truncation, a close. What was acknowledged is in `acked`."""

    def __init__(self, directory: Path, disk: FaultyDisk) -> None:
        self.directory = directory
        self.disk = disk
        self.acked: Acked = {}
        self.log: Log | None = None
        self.log_start = 0
        self.failures = 0

    def attempt(self, act: object, *args: object) -> bool:
        try:
            act(*args)  # type: ignore[operator]
        except StorageError:
            self.failures += 1
            return False
        return True

    def open(self) -> None:
        self.log = open_log(self.directory, SMALL, environment(disk=self.disk))

    def append(self, number: int, view: memoryview, origin: AppendOrigin = AppendOrigin.CLIENT) -> None:
        assert self.log is not None
        info = self.log.append_as_leader(view, number // 10, origin)
        value = b"%d" % number
        self.acked.update((offset, value) for offset in range(info.first_offset, info.last_offset + 1))

    def run(self) -> None:
        while self.log is None:
            if not self.attempt(self.open) and self.disk._dead:
                return
        log = self.log
        sequence = 0
        for number in range(30):
            value = b"%d" % number
            self.attempt(self.append, number, batch_of(2, timestamp=START_MS + number, value=value))
            if number % 3 == 0:
                view = batch_of(producer_id=7, producer_epoch=0, base_sequence=sequence, value=value)
                if self.attempt(self.append, number, view):
                    sequence += 1
            if number % 9 == 5:
                fields = {"producer_id": 9, "producer_epoch": 0, "base_sequence": number // 9}
                self.transaction(number, batch_of(is_transactional=True, value=value, **fields))
            if number % 11 == 10:
                self.attempt(log.flush)
            log.high_watermark = log.log_end_offset
            if number == 20:
                self.attempt(log.delete_records_before, min(15, log.log_end_offset))
                self.attempt(log.remove_doomed_files)
            self.check_reads()
        target = log.log_end_offset - 3
        self.attempt(log.truncate_to, target)
        end = target if self.failures else log.log_end_offset
        # A truncation that failed may have taken the batch its target lies in and those above, and nothing else.
        hit = self.acked.get(target)
        self.acked = {o: v for o, v in self.acked.items() if o < end and v != hit}
        self.check_reads()
        self.attempt(self.append, 30, batch_of(2, value=b"30"))

    def transaction(self, number: int, view: memoryview) -> None:
        try:
            if self.attempt(self.append, number, view):
                marker = build_end_txn_marker(9, 0, EndTxnMarker(False, 0), START_MS)
                while not self.attempt(self.append_marker, memoryview(marker)) and not self.disk._dead:
                    pass
        except KafkaError:
            assert self.failures  # a sequence was lost to an earlier failure

    def append_marker(self, view: memoryview) -> None:
        assert self.log is not None
        self.log.append_as_leader(view, 3, AppendOrigin.COORDINATOR)

    def check_reads(self) -> None:
        """What the log serves while it lives is what was acknowledged (and markers)."""
        assert self.log is not None
        if not self.disk._dead:
            check(self.log, self.acked)


def check(log: Log, acked: Acked) -> None:
    """Every acknowledged record from the log start on is there, in order, and nothing that was refused is between."""
    seen = dict(read_values(log))
    missing = {o: v for o, v in acked.items() if o >= log.log_start_offset and seen.get(o) != v}
    assert not missing, missing
    assert list(seen) == sorted(seen)
    assert max(seen, default=-1) < log.log_end_offset


def operation_count(tmp_path: Path) -> int:
    disk = FaultyDisk()
    Scenario(tmp_path / "dry", disk).run()
    return disk.count


@pytest.mark.slow
def test_each_operation_fails_once_and_the_log_goes_on(tmp_path: Path) -> None:
    for fail_at in range(1, operation_count(tmp_path) + 1):
        directory = tmp_path / str(fail_at)
        disk = FaultyDisk(fail_at)
        scenario = Scenario(directory, disk)
        scenario.run()
        assert disk.failed, fail_at
        log = scenario.log
        assert log is not None
        # The process is killed here; what was flushed is believed.
        again = open_log(directory, SMALL, recovery_point=log.recovery_point, log_start_offset=log.log_start_offset)
        check(again, scenario.acked)
        assert again.log_end_offset == log.log_end_offset, disk.failed
        assert again.append_as_leader(batch_of(), 99).first_offset == log.log_end_offset
        again.close()
        clean = open_log(directory, SMALL, log_start_offset=again.log_start_offset, was_clean=True)
        assert read_values(clean) == read_values(again)
        shutil.rmtree(directory)


@pytest.mark.slow
def test_the_disk_dies_at_each_operation_and_the_log_opens_again(tmp_path: Path) -> None:
    for fail_at in range(1, operation_count(tmp_path) + 1):
        directory = tmp_path / str(fail_at)
        scenario = Scenario(directory, FaultyDisk(fail_at, dead=True))
        scenario.run()
        known = {}
        if scenario.log is not None:
            known = {"recovery_point": scenario.log.recovery_point}
        again = open_log(directory, SMALL, **known)
        check(again, scenario.acked)
        again.append_as_leader(idempotent_batch(0, producer_id=1000), 99)
        again.close()
        shutil.rmtree(directory)


def test_the_disk_dies_while_a_log_is_opened(tmp_path: Path) -> None:
    """Recovery that is itself cut short is done again (wants C9)."""
    template = tmp_path / "template"
    scenario = Scenario(template, FaultyDisk())
    scenario.run()
    last = sorted(template.glob("*.log"))[-1]
    last.write_bytes(last.read_bytes() + b"torn")
    fail_at = 0
    while True:
        fail_at += 1
        directory = tmp_path / str(fail_at)
        shutil.copytree(template, directory)
        disk = FaultyDisk(fail_at, dead=True)
        try:
            open_log(directory, SMALL, environment(disk=disk))
        except StorageError:
            pass
        check(open_log(directory, SMALL), scenario.acked)
        shutil.rmtree(directory)
        if not disk.failed:
            break
    assert fail_at > 10


@pytest.mark.parametrize("dead", [True, False])
def test_a_shutdown_that_fails_leaves_no_marker(tmp_path: Path, dead: bool) -> None:
    """KAFKA-13773: a marker after a failed shutdown makes the next start believe a torn log."""
    fail_at = 0
    while True:
        fail_at += 1
        directory = tmp_path / str(fail_at)
        disk = FaultyDisk()
        logs = Logs([directory], environment(disk=disk), lambda topic: SMALL)
        logs.load_all()
        partitions = [TopicPartition("a", i) for i in range(2)]
        acked = {}
        for partition in partitions:
            log = logs.create(partition, logs._env.random.uuid())
            for number in range(12):
                info = log.append_as_leader(batch_of(value=b"%d" % number), 0)
                acked[partition, info.first_offset] = b"%d" % number
        disk._fail_at, disk._dead = disk.count + fail_at, dead
        was_clean = logs.shut_down()
        assert (
            was_clean or not (directory / ".kafka_cleanshutdown").exists() or disk.failed == ["fsync " + str(fail_at)]
        )
        again = Logs([directory], environment(), lambda topic: SMALL)
        again.load_all()
        for (partition, offset), value in acked.items():
            found = again.get(partition)
            assert found is not None
            assert dict(read_values(found))[offset] == value
        assert again.shut_down()
        if not disk.failed:
            assert was_clean
            break
        shutil.rmtree(directory)
    assert fail_at > 20
