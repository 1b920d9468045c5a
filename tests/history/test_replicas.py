"""Replicas that differ are told; a seed gives the same faults of a cluster."""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from tests.history.cluster_faults import Kind, schedule
from tests.history.model import Key
from tests.history.replicas import batches_of, differences

KEY = Key("t", 0)


def batch(base_offset: int, body: bytes) -> bytes:
    return struct.pack(">qi", base_offset, len(body)) + body


@pytest.fixture
def three(tmp_path: Path) -> dict[int, Path]:
    directories = {node_id: tmp_path / str(node_id) for node_id in (1, 2, 3)}
    for directory in directories.values():
        (directory / "t-0").mkdir(parents=True)
        write(directory, 0, batch(0, b"a") + batch(1, b"b"))
        write(directory, 2, batch(2, b"c"))
    return directories


def write(directory: Path, base_offset: int, data: bytes) -> None:
    (directory / "t-0" / f"{base_offset:020}.log").write_bytes(data)


def test_the_same_bytes_are_the_same(three: dict[int, Path]) -> None:
    assert differences(three, [KEY]) == []
    assert batches_of(three[1] / "t-0") == {0: batch(0, b"a"), 1: batch(1, b"b"), 2: batch(2, b"c")}


def test_other_segments_and_deleted_ones_are_the_same_log(three: dict[int, Path]) -> None:
    (three[1] / "t-0" / f"{0:020}.log").unlink()
    write(three[2], 0, batch(0, b"a"))
    write(three[2], 1, batch(1, b"b"))
    assert differences(three, [KEY]) == []


@pytest.mark.parametrize("tail", [b"", batch(2, b"x"), batch(2, b"c")[:-1], batch(2, b"c") + batch(3, b"d")])
def test_one_that_differs_is_told(three: dict[int, Path], tail: bytes) -> None:
    write(three[3], 2, tail)
    at = 3 if len(tail) > len(batch(2, b"c")) else 2
    assert differences(three, [KEY]) == [f"t-0: brokers {each} and 3 differ from offset {at} on" for each in (1, 2)]


def test_nothing_is_not_the_same_as_something(three: dict[int, Path]) -> None:
    for each in (three[2] / "t-0").iterdir():
        each.unlink()
    assert differences(three, [KEY]) == ["t-0: no records at [2]"]


def test_a_seed_gives_the_same_faults_and_seeds_differ() -> None:
    schedules = [schedule(seed, 10, 3) for seed in range(60)]
    assert schedules == [schedule(seed, 10, 3) for seed in range(60)]
    assert len({tuple(each) for each in schedules}) == 60
    assert {fault.kind for each in schedules for fault in each} == set(Kind)
