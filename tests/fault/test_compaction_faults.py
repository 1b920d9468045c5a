"""The swap of compacted segments is cut at every operation on the disk: what is there afterwards is the old content or
the new, group by group, and every live key has its latest record (wants C9; Kafka LocalLog.replaceSegments).

Three ways: the disk dies and the process with it; one operation fails and the log goes on; the power goes.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import pytest
from tests.support.compaction_support import COMPACTED, Compacted
from tests.support.faulty_disk import FaultyDisk
from tests.support.power_loss_disk import PowerLossDisk, Survival

from tailrace.base.disk import Disk
from tailrace.base.errors import StorageError
from tailrace.log.compaction.cleaner import RETRY_MS

Rows = list[tuple[int, bytes | None, bytes | None]]

SMALL = replace(COMPACTED, segment_bytes=300, delete_retention_ms=1 << 40)


def filled(directory: Path, disk: Disk, *, is_one_group: bool) -> Compacted:
    """Five sealed segments or so with few keys, an aborted transaction, a tombstone."""
    compacted = Compacted(directory, SMALL, disk=disk)
    for number in range(14):
        compacted.append((b"%d" % (number % 4), b"%d" % number), (b"k%d" % number, None if number == 5 else b"x"))
        if number == 7:
            compacted.append((b"3", b"no"), producer_id=7, producer_epoch=0, base_sequence=0, is_transactional=True)
            compacted.end_txn(7, commit=False)
    compacted.log.roll()
    if is_one_group:
        compacted.configure(segment_bytes=1 << 20)
    compacted.log.flush()
    compacted.logs.write_checkpoints()
    return compacted


def stages(tmp_path: Path, is_one_group: bool) -> list[Rows]:
    """What the log holds before the cleaning, and after each group was swapped in."""
    compacted = filled(tmp_path / "dry", FaultyDisk(), is_one_group=is_one_group)
    before = compacted.records()
    bases = [segment.base_offset for segment in compacted.log.segments]
    compacted.cleaner.tick()
    after = compacted.records()
    assert after != before
    bounds = sorted({*bases, compacted.log.log_end_offset})
    found = [[row for row in after if row[0] < bound] + [row for row in before if row[0] >= bound] for bound in bounds]
    compacted.logs.abandon()
    return found


def operation_counts(tmp_path: Path, is_one_group: bool) -> range:
    disk = FaultyDisk()
    compacted = filled(tmp_path / "count", disk, is_one_group=is_one_group)
    first = disk.count + 1
    compacted.cleaner.tick()
    compacted.logs.abandon()
    return range(first, disk.count + 1)


@pytest.mark.slow
@pytest.mark.parametrize("is_one_group", [True, False])
def test_the_disk_dies_at_each_operation(tmp_path: Path, is_one_group: bool) -> None:
    allowed = stages(tmp_path, is_one_group)
    seen = set()
    for fail_at in operation_counts(tmp_path, is_one_group):
        directory = tmp_path / str(fail_at)
        disk = FaultyDisk(fail_at, dead=True)
        compacted = filled(directory, disk, is_one_group=is_one_group)
        compacted.cleaner.tick()
        assert disk.failed
        compacted.logs.abandon()
        again = Compacted(directory, SMALL, disk=FaultyDisk())
        rows = again.records()
        assert rows in allowed, (fail_at, disk.failed[0])
        seen.add(allowed.index(rows))
        check_is_tidy(again)
        again.logs.abandon()
        shutil.rmtree(directory)
    assert len(seen) > 1, "some cuts come before the swap and some after"


@pytest.mark.slow
@pytest.mark.parametrize("is_one_group", [True, False])
def test_one_operation_fails_and_the_log_goes_on(tmp_path: Path, is_one_group: bool) -> None:
    allowed = stages(tmp_path, is_one_group)
    for fail_at in operation_counts(tmp_path, is_one_group):
        disk = FaultyDisk(fail_at)
        compacted = filled(tmp_path / str(fail_at), disk, is_one_group=is_one_group)
        compacted.cleaner.tick()
        assert disk.failed
        assert compacted.records() in allowed, (fail_at, disk.failed)
        if compacted.logs.get(compacted.log.topic_partition) is None:
            continue  # an fsync that failed took the directory offline
        compacted.append((b"new", b"1"))
        compacted.clock.advance(RETRY_MS)
        compacted.cleaner.tick()
        assert compacted.records()[:-1] == allowed[-1], (fail_at, disk.failed)
        compacted.reopen()
        assert compacted.records()[:-1] == allowed[-1], (fail_at, disk.failed)
        check_is_tidy(compacted)
        compacted.logs.abandon()


@pytest.mark.slow
@pytest.mark.parametrize("is_one_group", [True, False])
@pytest.mark.parametrize("survival", Survival)
def test_the_power_goes_before_each_operation(tmp_path: Path, survival: Survival, is_one_group: bool) -> None:
    """Names reach the device in their order; contents when they were synced."""
    allowed = stages(tmp_path, is_one_group)
    root = tmp_path / "root"
    root.mkdir()
    disk = PowerLossDisk(root)
    compacted = filled(root / "logs", disk, is_one_group=is_one_group)
    for path in (root, root / "logs", compacted.log.directory):
        disk.sync_directory(path)
    left: list[Path] = []

    def lose() -> None:
        target = tmp_path / "left" / str(len(left))
        disk.lose_power(target, seed=len(left), survival=survival)
        left.append(target / "logs")

    for name in ("rename", "remove", "sync_directory", "set_modified"):
        operation = getattr(disk, name)

        def cut(*args: object, operation: object = operation) -> object:
            lose()
            return operation(*args)  # type: ignore[operator]

        setattr(disk, name, cut)
    compacted.cleaner.tick()
    lose()
    compacted.logs.abandon()
    for directory in left:
        again = Compacted(directory, SMALL, disk=FaultyDisk())
        assert again.records() in allowed, directory
        again.logs.abandon()
    assert len(left) > 20


def check_is_tidy(compacted: Compacted) -> None:
    """No segment overlaps the next, and nothing half done is left."""
    names = [path.name for path in compacted.log.directory.iterdir()]
    assert not [name for name in names if name.endswith((".cleaned", ".swap"))]
    ends = [(segment.base_offset, segment.next_offset()) for segment in compacted.log.segments]
    assert all(end <= base for (_, end), (base, _) in pairwise(ends))


def test_a_swap_of_several_segments_is_finished_by_the_next_start(tmp_path: Path) -> None:
    """Killed between the first old segment's going and the last one's (issue of storage: a half-finished swap)."""
    disk = FaultyDisk()
    compacted = filled(tmp_path, disk, is_one_group=True)
    expected = stages(tmp_path / "other", True)[-1]
    deleted = 0
    rename = disk.rename

    def die(source: Path, target: Path) -> None:
        nonlocal deleted
        deleted += target.name.endswith(".log.deleted")
        if deleted == 3:
            raise StorageError("rename", str(source), OSError(5, "dead"))
        rename(source, target)

    disk.rename = die  # type: ignore[method-assign]
    compacted.cleaner.tick()
    compacted.logs.abandon()
    again = Compacted(tmp_path, SMALL, disk=FaultyDisk())
    assert again.records() == expected
    check_is_tidy(again)
    again.logs.shut_down()
