"""The three index files: lookups, laziness, truncation, torn tails, Kafka's preallocation."""

from __future__ import annotations

import struct
import tracemalloc
from pathlib import Path
from types import ModuleType

import pytest

import tailrace.log.offset_index
import tailrace.log.time_index
from tailrace.base.disk import RealDisk
from tailrace.log.offset_index import OffsetIndex
from tailrace.log.time_index import TimeIndex
from tailrace.log.txn_index import AbortedTxn, TxnIndex

BASE = 1000


def offset_index(path: Path) -> OffsetIndex:
    return OffsetIndex(RealDisk(), path / "x.index", BASE)


def time_index(path: Path) -> TimeIndex:
    return TimeIndex(RealDisk(), path / "x.timeindex", BASE)


def test_offset_lookup_is_the_floor(tmp_path: Path) -> None:
    index = offset_index(tmp_path)
    assert index.lookup(BASE + 5) == 0
    for offset, position in ((1010, 100), (1020, 250), (1030, 400)):
        index.append(offset, position)
    assert [index.lookup(o) for o in (1000, 1009, 1010, 1019, 1020, 1029, 1030, 9999)] == [
        0,
        0,
        100,
        100,
        250,
        250,
        400,
        400,
    ]
    assert [index.position_at_or_below(p) for p in (0, 99, 100, 399, 400, 10_000)] == [0, 0, 100, 250, 400, 400]
    assert index.last() == (1030, 400)


def test_offset_entries_are_kafkas_bytes_and_load_again(tmp_path: Path) -> None:
    index = offset_index(tmp_path)
    index.append(1010, 100)
    assert not index.path.exists(), "entries wait in memory"
    index.flush()
    index.append(1020, 250)
    index.unload()
    assert index.path.read_bytes() == struct.pack(">iiii", 10, 100, 20, 250)
    assert index.entries() == [(1010, 100), (1020, 250)]
    assert offset_index(tmp_path).lookup(1025) == 250


def test_offsets_must_rise(tmp_path: Path) -> None:
    index = offset_index(tmp_path)
    index.append(1010, 100)
    with pytest.raises(AssertionError):
        index.append(1010, 200)


def test_many_offset_entries_are_written_before_flush(tmp_path: Path) -> None:
    index = offset_index(tmp_path)
    for i in range(2000):
        index.append(BASE + 1 + i, 10 + i)
    assert index.path.stat().st_size == 1024 * 8
    assert len(offset_index(tmp_path)) == 1024
    index.flush()
    assert offset_index(tmp_path).entries() == index.entries()


@pytest.mark.parametrize("flushed", [0, 1, 3])
def test_offset_truncation(tmp_path: Path, flushed: int) -> None:
    index = offset_index(tmp_path)
    for i in range(3):
        index.append(1010 + i * 10, 100 + i)
        if i + 1 == flushed:
            index.flush()
    index.truncate(1020)
    assert index.entries() == [(1010, 100)]
    index.append(1015, 300)
    index.flush()
    assert offset_index(tmp_path).entries() == [(1010, 100), (1015, 300)]


def test_a_torn_entry_and_kafkas_zeros_are_left_out(tmp_path: Path) -> None:
    path = tmp_path / "x.index"
    path.write_bytes(struct.pack(">iiii", 10, 100, 20, 250) + b"\0\0\0")
    index = offset_index(tmp_path)
    assert index.entries() == [(1010, 100), (1020, 250)]
    assert not index.is_sane(1000)
    index.append(1030, 300)
    index.flush()
    assert path.read_bytes() == struct.pack(">iiiiii", 10, 100, 20, 250, 30, 300)
    path.write_bytes(struct.pack(">iiii", 10, 100, 20, 250) + bytes(80))
    assert offset_index(tmp_path).entries() == [(1010, 100), (1020, 250)]
    path.write_bytes(bytes(80))
    assert offset_index(tmp_path).entries() == []


@pytest.mark.parametrize(
    ("data", "sane"),
    [
        (b"", True),
        (struct.pack(">ii", 5, 50), True),
        (struct.pack(">ii", 5, 1000), False),
        (struct.pack(">iiii", 5, 50, 5, 60), False),
        (struct.pack(">iiii", 5, 50, 6, 50), False),
        (struct.pack(">ii", -1, 50), False),
        (b"\1", False),
    ],
)
def test_sanity_of_an_offset_index(tmp_path: Path, data: bytes, sane: bool) -> None:
    (tmp_path / "x.index").write_bytes(data)
    assert offset_index(tmp_path).is_sane(1000) is sane


def test_time_index_keeps_rising_timestamps(tmp_path: Path) -> None:
    index = time_index(tmp_path)
    for timestamp, offset in ((-1, 1000), (100, 1005), (100, 1007), (90, 1008), (200, 1010)):
        index.maybe_append(timestamp, offset)
    assert index.entries() == [(100, 1005), (200, 1010)]
    assert [index.lookup(t) for t in (0, 99, 100, 199, 200, 10**12)] == [1000, 1000, 1005, 1005, 1010, 1010]
    index.flush()
    assert index.path.read_bytes() == struct.pack(">qiqi", 100, 5, 200, 10)
    assert time_index(tmp_path).last() == (200, 1010)
    assert time_index(tmp_path).is_sane()
    index.truncate(1010)
    assert time_index(tmp_path).entries() == [(100, 1005)]


def test_time_index_of_kafka_with_zeros(tmp_path: Path) -> None:
    (tmp_path / "x.timeindex").write_bytes(struct.pack(">qi", 100, 5) + bytes(36))
    assert time_index(tmp_path).entries() == [(100, 1005)]


@pytest.mark.parametrize(
    ("index", "entry"),
    [
        (tailrace.log.offset_index, struct.pack(">ii", 5, 700)),
        (tailrace.log.time_index, struct.pack(">qi", 1_700_000_000_000, 5)),
    ],
)
def test_what_kafka_preallocates_is_not_unpacked(index: ModuleType, entry: bytes) -> None:
    """Ten megabytes of zeros in each index of a Kafka that was killed: not a second of the start for each."""
    data = entry * 2 + bytes(10_485_720)
    assert len(data) % len(entry) == 0
    tracemalloc.start()
    keys, values = index.parse_entries(data)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(keys) == len(values) == 2
    assert peak < 100_000, "not a copy of it was made"
    torn = index.parse_entries(data[:-3])
    assert torn == (keys, values)


def test_txn_index(tmp_path: Path) -> None:
    def index() -> TxnIndex:
        return TxnIndex(RealDisk(), tmp_path / "x.txnindex")

    txns = [AbortedTxn(1, 10, 20, 15), AbortedTxn(2, 15, 30, 31), AbortedTxn(3, 35, 40, 41)]
    first = index()
    first.flush()
    assert not first.path.exists(), "no file comes of nothing"
    for txn in txns:
        first.append(txn)
    first.flush()
    assert first.path.stat().st_size == 3 * 34
    assert index().entries() == txns
    assert index().overlapping(0, 10) == ([], True)
    assert index().overlapping(21, 31) == ([txns[1]], True)
    assert index().overlapping(0, 100) == (txns, False)
    again = index()
    again.truncate(40)
    assert index().entries() == txns[:2]
    again.reset()
    assert not again.path.exists()
