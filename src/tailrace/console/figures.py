"""Live figures from two readings of the brokers' metrics, or of the ends of partitions. Pure: no input, no output.

Counters become rates; of a histogram the part that is new becomes quantiles. A counter that went back, after a
restart, counts from 0. Latencies are the time on the broker without waiting for more to come: of Produce all of it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from tailrace.console.limits import LIVE_TOPICS_MAX

_SAMPLE: Final = re.compile(r"([a-zA-Z_:][a-zA-Z0-9_:]*)(?:\{(.*)\})? (\S+)(?: .*)?")
_LABEL: Final = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\]|\\.)*)"')
_TOPIC_METRIC: Final = "kafka_server_brokertopicmetrics_"
_REQUESTS: Final = "kafka_network_requestmetrics_"
WANTED: Final = (
    _TOPIC_METRIC,
    f"{_REQUESTS}totaltimems_bucket",
    f"{_REQUESTS}localtimems_bucket",
    f"{_REQUESTS}errors_total",
    "kafka_consumergroup_lag_sum",
    "kafka_server_socketservermetrics_connection_count",
    "process_resident_memory_bytes",
    "process_cpu_seconds_total",
    "tailrace_loop_turn_ms_bucket",
    "tailrace_broker_info",
)
"""Beginnings of the metrics that are looked at; other lines are not read."""

Labels = tuple[tuple[str, str], ...]
Samples = dict[tuple[str, Labels], float]
Ends = tuple[float, Mapping[tuple[str, int], int]]
"""When, on the monotonic clock, and the end of each partition."""


class Reading(NamedTuple):
    """Metrics of several brokers added up, at a time on the monotonic clock."""

    time_ms: float
    samples: Samples
    brokers: dict[int, bool]
    """Whether each answered."""

    def of(self, name: str, **labels: str) -> float | None:
        """One sample; None when nobody tells it."""
        return self.samples.get((name, tuple(sorted(labels.items()))))

    def family(self, name: str) -> dict[Labels, float]:
        """All samples of a name."""
        return {labels: value for (own, labels), value in self.samples.items() if own == name}


def parse(text: str) -> Samples:
    """The samples of the text format that are in WANTED."""
    found: Samples = {}
    for line in text.splitlines():
        if not line.startswith(WANTED):
            continue
        sample = _SAMPLE.fullmatch(line)
        if sample is not None:
            labels = tuple(sorted(_LABEL.findall(sample[2] or "")))
            found[sample[1], labels] = found.get((sample[1], labels), 0.0) + float(sample[3])
    return found


def added(parts: Iterable[Samples]) -> Samples:
    """Samples of several brokers, added up."""
    found: Samples = {}
    for part in parts:
        for key, value in part.items():
            found[key] = found.get(key, 0.0) + value
    return found


def broker_of(samples: Samples) -> int | None:
    """Which broker tells them."""
    for name, labels in samples:
        if name == "tailrace_broker_info":
            number = dict(labels).get("node_id", "")
            return int(number) if number.isdecimal() else None
    return None


def figures_of(before: Reading, after: Reading, wall_ms: int) -> dict[str, Any]:
    """The figures of the time between two readings of metrics."""
    passed_s = max(0.001, (after.time_ms - before.time_ms) / 1000)

    def rate(name: str, **labels: str) -> float | None:
        now, then = after.of(name, **labels), before.of(name, **labels)
        return None if now is None else _gain(then or 0.0, now) / passed_s

    errors = _rates(before.family(f"{_REQUESTS}errors_total"), after.family(f"{_REQUESTS}errors_total"), passed_s)
    lags = after.family("kafka_consumergroup_lag_sum")
    cpu = rate("process_cpu_seconds_total")
    return {
        "time_ms": wall_ms,
        "source": "metrics",
        "records_in_per_s": rate(f"{_TOPIC_METRIC}messagesin_total") or 0.0,
        "bytes_in_per_s": rate(f"{_TOPIC_METRIC}bytesin_total") or 0.0,
        "bytes_out_per_s": rate(f"{_TOPIC_METRIC}bytesout_total") or 0.0,
        "produce_ms": _quantiles(before, after, f"{_REQUESTS}totaltimems_bucket", "Produce"),
        "fetch_ms": _quantiles(before, after, f"{_REQUESTS}localtimems_bucket", "Fetch"),
        "lag": int(sum(lags.values())),
        "connections": _whole(after.of("kafka_server_socketservermetrics_connection_count")),
        "memory_bytes": _whole(after.of("process_resident_memory_bytes")),
        "cpu_percent": None if cpu is None else cpu * 100,
        "loop_stall_ms": _longest(_new_in_buckets(before, after, "tailrace_loop_turn_ms_bucket", None)),
        "errors_per_s": sum(errors.values()),
        "topics": _busiest(before, after, passed_s),
        "brokers": [{"id": number, "is_reachable": is_up} for number, is_up in sorted(after.brokers.items())],
    }


def figures_of_ends(before: Ends, after: Ends, wall_ms: int) -> dict[str, Any]:
    """The figures that the ends of partitions tell, read at two times of the monotonic clock."""
    passed_s = max(0.001, (after[0] - before[0]) / 1000)
    gains: dict[str, float] = {}
    for place, end in after[1].items():
        if place in before[1] and end > before[1][place]:
            gains[place[0]] = gains.get(place[0], 0.0) + (end - before[1][place]) / passed_s
    topics = sorted(gains.items(), key=lambda each: -each[1])[:LIVE_TOPICS_MAX]
    unknown = ("bytes_in_per_s", "bytes_out_per_s", "produce_ms", "fetch_ms", "connections",
               "memory_bytes", "cpu_percent", "loop_stall_ms", "errors_per_s")  # fmt: skip
    return {
        "time_ms": wall_ms,
        "source": "offsets",
        "records_in_per_s": sum(gains.values()),
        **dict.fromkeys(unknown),
        "topics": [{"name": name, "records_in_per_s": each, "bytes_in_per_s": None} for name, each in topics],
    }


def _busiest(before: Reading, after: Reading, passed_s: float) -> list[dict[str, Any]]:
    def rates(name: str) -> dict[Labels, float]:
        return _rates(before.family(_TOPIC_METRIC + name), after.family(_TOPIC_METRIC + name), passed_s)

    sizes, records = rates("bytesin_total"), rates("messagesin_total")
    found = []
    for labels, each in sorted(records.items(), key=lambda each: -each[1]):
        if labels and each > 0:
            found.append(
                {"name": dict(labels)["topic"], "records_in_per_s": each, "bytes_in_per_s": sizes.get(labels, 0.0)}
            )
    return found[:LIVE_TOPICS_MAX]


def _rates(before: dict[Labels, float], after: dict[Labels, float], passed_s: float) -> dict[Labels, float]:
    return {labels: _gain(before.get(labels, 0.0), now) / passed_s for labels, now in after.items()}


def _gain(then: float, now: float) -> float:
    return now - then if now >= then else now


def _new_in_buckets(before: Reading, after: Reading, name: str, request: str | None) -> list[tuple[float, float]]:
    """(upper bound, how many were new below it), rising."""
    found = []
    for labels, now in after.family(name).items():
        told = dict(labels)
        if request is None or told.get("request") == request:
            found.append((float(told["le"]), _gain(before.samples.get((name, labels), 0.0), now)))
    return sorted(found)


def _quantiles(before: Reading, after: Reading, name: str, request: str) -> dict[str, float] | None:
    buckets = _new_in_buckets(before, after, name, request)
    if not buckets or buckets[-1][1] <= 0:
        return None
    return {"p50": _quantile(buckets, 0.5), "p99": _quantile(buckets, 0.99)}


def _quantile(buckets: list[tuple[float, float]], share: float) -> float:
    """Linear within the bucket; the bound below it where it has none."""
    wanted = buckets[-1][1] * share
    low = below = 0.0
    for bound, count in buckets:
        if count >= wanted and count > below:
            return low if bound == float("inf") else low + (bound - low) * (wanted - below) / (count - below)
        if count > below or below == 0.0:
            low, below = bound, count
    return low


def _longest(buckets: list[tuple[float, float]]) -> float | None:
    """The bound of the highest bucket with something new in it; None without any."""
    if not buckets:
        return None
    below, longest = 0.0, 0.0
    for bound, count in buckets:
        if count > below:
            longest, below = bound, count
    return longest if longest != float("inf") else None


def _whole(value: float | None) -> int | None:
    return None if value is None else int(value)
