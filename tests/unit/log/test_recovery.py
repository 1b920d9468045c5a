"""Opening what a crash left: torn tails, missing indexes, half-done swaps and deletions. wants C8-C10."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from tests.support.log_support import PARTITION, START_MS, batch_of, idempotent_batch, open_log, read_values

from tailrace.base.disk import RealDisk
from tailrace.log.config import LogConfig
from tailrace.log.log import Log
from tailrace.log.recovery import _remove_temporary

SMALL = LogConfig(segment_bytes=1500, index_interval_bytes=200)


def written(path: Path, count: int = 40, *, close: bool = True) -> list[tuple[int, bytes | None]]:
    log = open_log(path, SMALL)
    for i in range(count):
        log.append_as_leader(batch_of(2, timestamp=START_MS + i, value=b"%04d" % i), i // 15)
    values = read_values(log)
    if close:
        log.close()
    return values


def files(path: Path, suffix: str) -> list[Path]:
    return sorted(path.glob(f"*{suffix}"))


@pytest.mark.parametrize("suffix", [".index", ".timeindex", ".snapshot", "leader-epoch-checkpoint"])
@pytest.mark.parametrize("damage", ["remove", "empty", "noise"])
@pytest.mark.parametrize("clean", [True, False])
def test_derived_files_are_rebuilt(tmp_path: Path, suffix: str, damage: str, clean: bool) -> None:
    values = written(tmp_path)
    before = {p.name: p.read_bytes() for p in tmp_path.iterdir() if p.suffix in (".index", ".timeindex")}
    for path in files(tmp_path, suffix):
        if damage == "remove":
            path.unlink()
        else:
            path.write_bytes(b"" if damage == "empty" else b"\xff" * 13)
    log = open_log(tmp_path, SMALL, was_clean=clean, recovery_point=80 if clean else 0)
    assert read_values(log) == values
    assert log.leader_epochs.entries == [(0, 0), (1, 30), (2, 60)]
    found = log.offset_for_timestamp(START_MS + 20)
    assert found == (START_MS + 20, 39, 1)
    log.close()
    if damage != "empty":  # an empty index is a legal one: lookups then scan
        assert {n: (tmp_path / n).read_bytes() for n in before} == before


def test_a_flipped_bit_ends_the_log_there(tmp_path: Path) -> None:
    values = written(tmp_path, close=False)
    logs = files(tmp_path, ".log")
    assert len(logs) > 2
    data = bytearray(logs[1].read_bytes())
    data[len(data) // 2] ^= 1
    logs[1].write_bytes(data)
    log = open_log(tmp_path, SMALL)
    assert 0 < log.log_end_offset < 80
    assert read_values(log) == values[: log.log_end_offset]
    assert len(files(tmp_path, ".log")) == 2
    assert log.leader_epochs.entries[-1][1] < log.log_end_offset
    assert log.append_as_leader(batch_of(), 9).first_offset == log.log_end_offset - 1


def test_below_the_recovery_point_nothing_is_read_again(tmp_path: Path) -> None:
    """Cost after a crash is what was not flushed: a flipped bit below the point goes unnoticed (wants C9)."""
    values = written(tmp_path, close=False)
    first = files(tmp_path, ".log")[0]
    data = bytearray(first.read_bytes())
    data[-1] ^= 1
    first.write_bytes(data)
    log = open_log(tmp_path, SMALL, recovery_point=int(files(tmp_path, ".log")[-1].stem))
    assert log.log_end_offset == len(values)
    assert open_log(tmp_path, SMALL, recovery_point=0).log_end_offset < len(values)


def test_a_log_said_to_be_clean_that_is_not_is_mended(tmp_path: Path) -> None:
    values = written(tmp_path)
    last = files(tmp_path, ".log")[-1]
    last.write_bytes(last.read_bytes()[:-1])
    log = open_log(tmp_path, SMALL, was_clean=True, recovery_point=80)
    assert read_values(log) == values[:-2]


def test_files_of_a_deletion_are_removed(tmp_path: Path) -> None:
    values = written(tmp_path)
    first = files(tmp_path, ".log")[0]
    shutil.copy(first, tmp_path / (first.name + ".deleted"))
    (tmp_path / f"{0:020d}.index.cleaned").write_bytes(b"x")
    (tmp_path / "leader-epoch-checkpoint.tmp").write_bytes(b"x")
    (tmp_path / f"{7:020d}.index").write_bytes(b"")
    log = open_log(tmp_path, SMALL, was_clean=True)
    assert read_values(log) == values
    names = [p.name for p in tmp_path.iterdir()]
    assert not [n for n in names if n.endswith((".deleted", ".cleaned", ".tmp")) or n.startswith(f"{7:020d}")]


def swap_files(path: Path) -> Path:
    """A compaction's output for the first two segments: their logs in one, waiting as `.swap`."""
    logs = files(path, ".log")[:2]
    target = path / (logs[0].name + ".swap")
    target.write_bytes(b"".join(p.read_bytes() for p in logs))
    return target


def test_a_whole_swap_is_finished(tmp_path: Path) -> None:
    values = written(tmp_path)
    count = len(files(tmp_path, ".log"))
    swap_files(tmp_path)
    log = open_log(tmp_path, SMALL, was_clean=False, recovery_point=80)
    assert read_values(log) == values
    assert len(files(tmp_path, ".log")) == count - 1
    assert not files(tmp_path, ".swap")


def test_a_half_renamed_swap_is_undone(tmp_path: Path) -> None:
    values = written(tmp_path)
    swap = swap_files(tmp_path)
    (tmp_path / f"{0:020d}.timeindex.cleaned").write_bytes(b"")
    count = len(files(tmp_path, ".log"))
    log = open_log(tmp_path, SMALL, was_clean=False)
    assert read_values(log) == values
    assert len(files(tmp_path, ".log")) == count
    assert not swap.exists()


def test_foreign_files_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert _remove_temporary(RealDisk(), tmp_path) == ["notes.txt"]
    open_log(tmp_path)
    assert (tmp_path / "notes.txt").exists()


def test_producers_come_back_from_snapshot_and_tail(tmp_path: Path) -> None:
    log = open_log(tmp_path, SMALL)
    for sequence in range(100):
        log.append_as_leader(idempotent_batch(sequence), 0)
        log.append_as_leader(idempotent_batch(sequence, producer_id=8), 0)
    for path in files(tmp_path, ".snapshot")[:-1]:
        path.unlink()
    again = open_log(tmp_path, SMALL, recovery_point=log.segments.active.base_offset)
    for producer_id in (7, 8):
        assert again.append_as_leader(idempotent_batch(99, producer_id=producer_id), 0).duplicate
        assert not again.append_as_leader(idempotent_batch(100, producer_id=producer_id), 0).duplicate


def test_stray_snapshots_go(tmp_path: Path) -> None:
    written(tmp_path)
    newest = files(tmp_path, ".snapshot")[-1]
    shutil.copy(newest, tmp_path / f"{3:020d}.snapshot")
    shutil.copy(newest, tmp_path / f"{5000:020d}.snapshot")
    open_log(tmp_path, SMALL, was_clean=True)
    offsets = {int(p.stem) for p in files(tmp_path, ".snapshot")}
    assert not offsets & {3, 5000}


def test_an_empty_directory_is_an_empty_log(tmp_path: Path) -> None:
    for clean in (True, False):
        log = Log.open(tmp_path / "x", PARTITION, SMALL, open_log(tmp_path / "y")._env, was_clean=clean)
        assert (log.log_start_offset, log.log_end_offset, log.size_bytes) == (0, 0, 0)


@pytest.mark.parametrize("policy", ["delete", "compact"])
def test_what_follows_a_hole_is_not_a_log(tmp_path: Path, policy: str) -> None:
    """A power cut took the end of a segment, at the end of a batch, and left the next one. Compaction leaves holes."""
    config = LogConfig(segment_bytes=300, cleanup_policy=frozenset({policy}))
    log = open_log(tmp_path, config)
    for _ in range(8):
        log.append_as_leader(batch_of(1), 0)
    first, second = log.segments[0], log.segments[1]
    one = first.size // (second.base_offset - first.base_offset)
    log.abandon()
    with first.path.open("r+b") as file:
        file.truncate(one)
    mended = open_log(tmp_path, config)
    assert mended.log_end_offset == (1 if policy == "delete" else 8)
    assert len(read_values(mended)) == (1 if policy == "delete" else 8 - (second.base_offset - 1))
    mended.abandon()
