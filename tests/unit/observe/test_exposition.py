"""The text that Prometheus reads: exact lines in both formats, and labels that nobody can break out of."""

from __future__ import annotations

import pytest

from tailrace.observe.durations import Durations
from tailrace.observe.exposition import NO_LABELS, Exposition


def test_counters_and_gauges() -> None:
    out = Exposition(is_openmetrics=False)
    out.counter("requests", "How many.\nReally \\.", [({"api": "Fetch"}, 3), (NO_LABELS, 2**60)])
    out.gauge("level", "How high.", [(NO_LABELS, 0.25), ({"a": "1", "b": "2"}, float("inf"))])
    assert out.finish().decode() == (
        "# HELP requests_total How many.\\nReally \\\\.\n# TYPE requests_total counter\n"
        'requests_total{api="Fetch"} 3\nrequests_total 1152921504606846976\n'
        '# HELP level How high.\n# TYPE level gauge\nlevel 0.25\nlevel{a="1",b="2"} +Inf\n'
    )


def test_openmetrics_names_a_counter_without_total_and_ends_with_eof() -> None:
    out = Exposition(is_openmetrics=True)
    out.counter("requests", "How many.", [(NO_LABELS, 3)])
    assert out.finish().decode() == ("# HELP requests How many.\n# TYPE requests counter\nrequests_total 3\n# EOF\n")


def test_a_label_stays_in_its_line() -> None:
    """Topics and groups have names that clients choose."""
    out = Exposition(is_openmetrics=False)
    out.gauge("members", "M.", [({"group": 'a"} 1\nfake_metric 7 \\'}, 1)])
    assert out.finish().decode().splitlines()[-1] == 'members{group="a\\"} 1\\nfake_metric 7 \\\\"} 1'


def test_a_family_is_written_once() -> None:
    out = Exposition(is_openmetrics=False)
    out.gauge("level", "L.", [])
    with pytest.raises(AssertionError):
        out.gauge("level", "L.", [])


def test_a_histogram() -> None:
    durations = Durations()
    for duration_ns in (0, 1_000, 20_000, 1_000_000, 200_000_000_000):
        durations.add(duration_ns)
    out = Exposition(is_openmetrics=False)
    out.durations_ms("took", "T.", [({"api": "x"}, durations, 10)])
    lines = out.finish().decode().splitlines()[2:]
    values = {line.split(" ")[0]: float(line.split(" ")[1]) for line in lines}
    assert values['took_bucket{api="x",le="0.016384"}'] == 12  # two of ours, and those that took no time
    assert values['took_bucket{api="x",le="0.032768"}'] == 13
    assert values['took_bucket{api="x",le="1.04858"}'] == 14
    assert values['took_bucket{api="x",le="68719.5"}'] == 14
    assert values['took_bucket{api="x",le="+Inf"}'] == values['took_count{api="x"}'] == 15
    assert values['took_sum{api="x"}'] == pytest.approx(200_001.021)
    buckets = [value for name, value in values.items() if "bucket" in name]
    assert buckets == sorted(buckets)


def test_durations_of_any_length_have_a_bucket() -> None:
    durations = Durations()
    for duration_ns in (0, 1, 2**62, 2**63 - 1):
        durations.add(duration_ns)
    assert durations.count == 4
    assert durations.sum_ns == 1 + 2**62 + 2**63 - 1
    assert [durations.count_below(bits) for bits in (0, 1, 62, 63)] == [1, 2, 2, 4]
