"""Batches are found by their headers, whatever their size, and aborted ones are told apart."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import pytest

from tailrace.base.disk import RealDisk
from tailrace.broker.share.batch_spans import batch_spans
from tailrace.broker.share.limits import HEADERS_READ_BYTES
from tailrace.records.batch import stamp
from tailrace.records.builder import BatchBuilder


class Aborted(NamedTuple):
    producer_id: int
    first_offset: int
    last_offset: int


def segment(tmp_path: Path, *batches: tuple[int, int, int]):  # type: ignore[no-untyped-def]
    """A file of batches of (records, bytes of each, producer id; 0 for none)."""
    file = RealDisk().open(tmp_path / "0.log")
    offset, total = 0, 0
    for count, size, producer_id in batches:
        builder = BatchBuilder()
        for _ in range(count):
            builder.append(1000, None, b"v" * size)
        data = builder.build_transactional(producer_id, 0) if producer_id else builder.build()
        stamp(memoryview(data), offset, 0)
        file.write(data)
        offset += count
        total += len(data)
    return file, total


@pytest.mark.parametrize("size", [1, 500, HEADERS_READ_BYTES - 80, HEADERS_READ_BYTES, 100_000])
def test_batches_of_every_size(tmp_path: Path, size: int) -> None:
    file, total = segment(tmp_path, (3, size, 0), (1, 1, 0), (2, size, 0), (1, size, 0), (5, 1, 0))
    found = batch_spans(file, 0, total, 100)
    assert [(each.base_offset, each.last_offset) for each in found] == [(0, 2), (3, 3), (4, 5), (6, 6), (7, 11)]
    assert found[-1].position + found[-1].size == total
    for before, after in pairwise(found):
        assert before.position + before.size == after.position


def test_no_further_than_is_wanted_and_no_batch_that_is_cut(tmp_path: Path) -> None:
    file, total = segment(tmp_path, (2, 10, 0), (2, 10, 0), (2, 10, 0))
    assert [each.last_offset for each in batch_spans(file, 0, total, 2)] == [1, 3]
    assert [each.last_offset for each in batch_spans(file, 0, total - 1, 100)] == [1, 3]
    assert batch_spans(file, 0, 50, 100) == []


def test_batches_of_aborted_transactions(tmp_path: Path) -> None:
    file, total = segment(tmp_path, (2, 10, 7), (2, 10, 8), (2, 10, 0), (2, 10, 7), (2, 10, 7))
    aborted = [Aborted(7, 0, 7)]
    found = batch_spans(file, 0, total, 100, aborted)
    assert [each.is_aborted for each in found] == [True, False, False, True, False]
    assert not any(each.is_aborted for each in batch_spans(file, 0, total, 100))
