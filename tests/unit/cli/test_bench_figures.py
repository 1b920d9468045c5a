"""What `tailrace bench` reckons with: the schedule, the histogram, the options and the report. No broker."""

from __future__ import annotations

import random

import click
import pytest

from tailrace.base.rand import SeededRandom
from tailrace.cli.bench.histogram import HIGHEST_US, Histogram, bucket_of, highest_of
from tailrace.cli.bench.result import Result, write_distribution
from tailrace.cli.bench.schedule import BURST_RECORDS_MAX, Schedule
from tailrace.cli.bench.workload import Workload, duration_s, payload, size_bytes
from tailrace.cli.failure import CommandFailed


def workload(rate_per_s: float | None = None) -> Workload:
    return Workload(1000, 0, 0.0, "all", "none", 1, 1, -1, rate_per_s, 2.0)


def test_buckets_are_in_order_without_a_gap_and_hold_three_digits() -> None:
    last = bucket_of(HIGHEST_US)
    for bucket in range(last):
        highest = highest_of(bucket)
        assert bucket_of(highest) == bucket
        assert bucket_of(highest + 1) == bucket + 1
    for value_us in (0, 1, 2047, 2048, 4095, 123_456, HIGHEST_US):
        assert value_us <= highest_of(bucket_of(value_us)) <= value_us * 1.001


@pytest.mark.parametrize("seed", range(5))
def test_percentiles_are_those_of_the_sorted_values(seed) -> None:
    draw = random.Random(seed)
    values = sorted(int(draw.lognormvariate(7, 2)) for _ in range(draw.randint(1, 3000)))
    histogram = Histogram()
    for value_us in values:
        histogram.record_us(value_us)
    for percent in (0, 10, 50, 90, 99, 99.9, 100):
        rank = max(1, -(-len(values) * int(percent * 10) // 1000))
        assert values[rank - 1] <= histogram.percentile_us(percent) <= values[rank - 1] * 1.001
    assert histogram.percentiles_us((50, 100)) == [histogram.percentile_us(50), values[-1]]
    assert (histogram.count, histogram.max_us) == (len(values), values[-1])
    assert histogram.mean_us == pytest.approx(sum(values) / len(values))


def test_histograms_add_up_and_an_empty_one_is_all_zero() -> None:
    one, other, empty = Histogram(), Histogram(), Histogram()
    one.record_ms(1.5)
    other.record_us(-3)
    other.record_us(HIGHEST_US * 2)
    one.add(other)
    assert (one.count, one.percentile_us(50), one.max_us) == (3, 1500, HIGHEST_US)
    assert (empty.percentile_us(99), empty.mean_us, list(empty.distribution())) == (0, 0.0, [])


def test_a_record_is_due_when_the_rate_says_and_not_before() -> None:
    schedule = Schedule(rate_per_s=1000, duration_ms=5, start_ms=100)
    assert schedule.take(99.9) == range(0)
    assert schedule.take(100) == range(1)
    assert schedule.wait_ms(100) == pytest.approx(1.0)
    assert schedule.take(102.5) == range(1, 3)
    assert schedule.take(102.9) == range(3, 3)
    assert (schedule.due_ms(3), schedule.done) == (103, False)
    assert schedule.take(9999) == range(3, 5)
    assert schedule.done and schedule.wait_ms(9999) == 0


def test_a_stall_delays_no_due_time_and_is_caught_up_in_bounded_bursts() -> None:
    schedule = Schedule(rate_per_s=10_000, duration_ms=1000, start_ms=0)
    bursts = []
    while not schedule.done:
        bursts.append(schedule.take(1000))
    assert {len(burst) for burst in bursts} == {BURST_RECORDS_MAX} and len(bursts) == 10
    late_ms = [1000 - schedule.due_ms(index) for burst in bursts for index in burst]
    assert late_ms[0] == 1000 and late_ms[-1] == pytest.approx(0.1)
    assert sum(late_ms) / len(late_ms) == pytest.approx(500, rel=0.01)


@pytest.mark.parametrize(
    ("text", "size"),
    [("0", 0), ("512", 512), ("1KB", 1000), ("1.5MB", 1_500_000), ("256KiB", 262_144), ("2 gb", 2 * 10**9)],
)
def test_sizes(text, size) -> None:
    assert size_bytes(text) == size


@pytest.mark.parametrize(("text", "seconds"), [("10", 10), ("500ms", 0.5), ("2m", 120), ("1.5s", 1.5)])
def test_durations(text, seconds) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize("text", ["", "x", "-1", "1TBx", "KB"])
def test_what_is_no_size_and_no_duration(text) -> None:
    with pytest.raises(click.BadParameter):
        size_bytes(text)
    with pytest.raises(click.BadParameter):
        duration_s(text)


def test_a_duration_of_nothing_is_refused() -> None:
    with pytest.raises(click.BadParameter):
        duration_s("0s")


def test_a_payload_has_its_size_and_half_of_it_can_be_squeezed() -> None:
    for size in (0, 1, 100, 1001):
        value = payload(size, SeededRandom(1))
        assert len(value) == size and value.endswith(bytes(size // 2))


def test_a_run_below_its_rate_is_said_not_to_have_kept_up(capfd) -> None:
    result = Result("produce", workload(rate_per_s=1000), records=1000, elapsed_s=2.0)
    result.latency.record_ms(2.0)
    result.show(as_json=False)
    out, err = capfd.readouterr()
    assert out.splitlines()[0].split() == ["RECORDS", "SECONDS", "RECORDS/S", "MB/S"]
    assert out.splitlines()[1].split() == ["1,000", "2.00", "500", "0.5"]
    assert out.splitlines()[3].split() == ["acknowledged", "2.000", "2.000", "2.000", "2.000", "2.000"]
    assert "did not keep up with 1,000 records/s" in err
    assert not result.as_json()["kept_up"]


def test_records_without_an_acknowledgement_fail_the_command(capfd) -> None:
    result = Result("produce", workload(), records=9, elapsed_s=1.0, failed=1)
    with pytest.raises(CommandFailed, match="1 records were not acknowledged"):
        result.show(as_json=True)
    assert '"failed": 1' in capfd.readouterr().out


def test_the_distribution_is_written_as_hdrhistogram_writes_it(tmp_path) -> None:
    histogram = Histogram()
    for value_us in (1000, 2000, 3000, 4000):
        histogram.record_us(value_us)
    write_distribution(tmp_path / "a.hgrm", histogram)
    rows = [line.split() for line in (tmp_path / "a.hgrm").read_text().splitlines()]
    assert rows[0] == ["Value", "Percentile", "TotalCount", "1/(1-Percentile)"]
    assert [(row[1], row[2]) for row in rows[2:6]] == [
        ("0.250000000000", "1"),
        ("0.500000000000", "2"),
        ("0.750000000000", "3"),
        ("1.000000000000", "4"),
    ]
    assert rows[-1][-1] == "4]"
