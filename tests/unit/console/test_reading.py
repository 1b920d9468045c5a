"""Pages of records: slices read by a fake consumer, forwards and backwards, with gaps."""

from __future__ import annotations

from threading import Event

import pytest

from tailrace.base.clock import ManualClock
from tailrace.console.reading import Found, Limits, SliceReader, newest, oldest
from unit.console.consumer_support import FakeConsumer


def reader(consumer: FakeConsumer) -> SliceReader:
    return SliceReader(consumer, "t", Limits(ManualClock(), 1e18, Event()))  # type: ignore[arg-type]


def places(found: Found) -> list[tuple[int, int]]:
    return [(each.partition, each.offset) for each in found.records]


DENSE = {0: {each: each * 10 for each in range(100)}, 1: {each: each * 10 + 5 for each in range(50)}, 2: {}}
GAPS = {0: {each: each * 10 for each in range(0, 1000, 37)}, 1: {3: 1}}
CASES = [(DENSE, {0: 100, 1: 50, 2: 0}), (GAPS, {0: 1010, 1: 900})]


@pytest.mark.parametrize("logs, ends", CASES)
@pytest.mark.parametrize("limit", [1, 3, 10, 500])
@pytest.mark.parametrize("direction", ["newest", "oldest"])
def test_pages_go_through_all_once(
    logs: dict[int, dict[int, int]], ends: dict[int, int], limit: int, direction: str
) -> None:
    begins = dict.fromkeys(logs, 0)
    at, seen = dict(ends if direction == "newest" else begins), []
    for _ in range(5000):
        consumer = reader(FakeConsumer(logs, ends))
        found = newest(consumer, begins, at, limit) if direction == "newest" else oldest(consumer, at, ends, limit)
        assert len(found.records) <= limit
        seen += places(found)
        assert found.is_complete
        if found.next == (begins if direction == "newest" else ends):
            break
        assert found.next != at, "no progress"
        at = found.next
    wanted = [(partition, offset) for partition, log in logs.items() for offset in log]
    assert sorted(seen) == sorted(wanted)
    for partition, log in logs.items():
        own = [offset for each, offset in seen if each == partition]
        assert own == sorted(log, reverse=direction == "newest")


def test_the_newest_of_all_partitions_come_first() -> None:
    found = newest(reader(FakeConsumer(DENSE, CASES[0][1])), dict.fromkeys(DENSE, 0), {0: 50, 1: 50, 2: 0}, 4)
    assert places(found) == [(1, 49), (0, 49), (1, 48), (0, 48)]
    assert found.next == {0: 48, 1: 48, 2: 0}


def test_a_long_log_is_not_read_through() -> None:
    log = {0: dict.fromkeys(range(10_000), 1)}
    consumer = FakeConsumer(log, {0: 10_000})
    assert len(newest(reader(consumer), {0: 0}, {0: 10_000}, 50).records) == 50
    assert consumer.read < 200


def test_time_that_is_over() -> None:
    clock = ManualClock()
    over = SliceReader(FakeConsumer(DENSE, CASES[0][1]), "t", Limits(clock, clock.monotonic_ms(), Event()))  # type: ignore[arg-type]
    found = newest(over, dict.fromkeys(DENSE, 0), CASES[0][1], 5)
    assert (found.records, found.is_complete, found.next) == ([], False, CASES[0][1])
    found = oldest(over, dict.fromkeys(DENSE, 0), CASES[0][1], 5)
    assert (found.records, found.is_complete, found.next) == ([], False, dict.fromkeys(DENSE, 0))
