"""What the demo counts. One `MemberFigures` a consumer, written by its thread alone; `Snapshot` adds them up.

No lock: the drawing thread only reads, and a figure that is one record old does no harm.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from tailrace.cli.demo.shop import CLICKS, ORDERS, PAYMENTS

LATENCIES_KEPT: Final = 2000
"""Latest latencies of a member the percentiles are taken from: some seconds at the default rate."""
FEED_KEPT: Final = 12
"""Latest events of a member kept for the feed on the screen."""


@dataclass(slots=True)
class MemberFigures:
    """What one member of the consumer group has seen."""

    name: str
    partitions: list[str] = field(default_factory=list)
    records: int = 0
    record_bytes: int = 0
    by_topic: Counter[str] = field(default_factory=Counter)
    views: Counter[str] = field(default_factory=Counter)
    revenue: Counter[str] = field(default_factory=Counter)
    declined: int = 0
    latencies_ms: deque[float] = field(default_factory=lambda: deque(maxlen=LATENCIES_KEPT))
    feed: deque[tuple[float, str, str]] = field(default_factory=lambda: deque(maxlen=FEED_KEPT))

    def count(self, topic: str, body: dict[str, Any], size_bytes: int, latency_ms: float, now_ms: float) -> None:
        """One record arrived `latency_ms` after it was sent."""
        self.records += 1
        self.record_bytes += size_bytes
        self.by_topic[topic] += 1
        self.latencies_ms.append(latency_ms)
        if topic == CLICKS:
            self.views[body.get("product", "")] += body["action"] == "view"
        elif topic == PAYMENTS:
            self.declined += body["status"] == "declined"
        elif topic == ORDERS:
            self.revenue[body["country"]] += body["total"]
        self.feed.append((now_ms, topic, describe(topic, body)))


def describe(topic: str, body: dict[str, Any]) -> str:
    """One line of plain English about an event."""
    if topic == CLICKS:
        return f"{body['visitor']} {body['action']} {body.get('product', '')}".rstrip()
    if topic == ORDERS:
        return f"{body['order']} {body['total']:.2f} from {body['country']}: {', '.join(body['items'])}"
    if topic == PAYMENTS:
        return f"{body['order']} {body['amount']:.2f} {body['status']}"
    return f"{body['order']} handed to {body['carrier']}"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All members at one moment."""

    elapsed_s: float
    records: int
    record_bytes: int
    by_topic: dict[str, int]
    revenue: dict[str, float]
    top_views: list[tuple[str, int]]
    declined: int
    latency_p50_ms: float
    latency_p99_ms: float
    feed: list[tuple[str, str]]

    @property
    def revenue_total(self) -> float:
        """Sum of all orders."""
        return sum(self.revenue.values())

    def as_json(self) -> dict[str, Any]:
        """The document of `demo --json`."""
        return {
            "elapsed_s": round(self.elapsed_s, 3),
            "records": self.records,
            "bytes": self.record_bytes,
            "topics": self.by_topic,
            "revenue": round(self.revenue_total, 2),
            "payments_declined": self.declined,
            "latency_p50_ms": round(self.latency_p50_ms, 3),
            "latency_p99_ms": round(self.latency_p99_ms, 3),
        }


def snapshot(members: Sequence[MemberFigures], elapsed_s: float) -> Snapshot:
    """Add the members up."""
    by_topic: Counter[str] = Counter()
    views: Counter[str] = Counter()
    revenue: Counter[str] = Counter()
    for member in members:
        by_topic.update(dict(member.by_topic))
        views.update(dict(member.views))
        revenue.update(dict(member.revenue))
    latencies_ms = sorted(latency for member in members for latency in tuple(member.latencies_ms))
    feed = sorted(line for member in members for line in tuple(member.feed))[-FEED_KEPT:]
    return Snapshot(
        elapsed_s=elapsed_s,
        records=sum(member.records for member in members),
        record_bytes=sum(member.record_bytes for member in members),
        by_topic=dict(sorted(by_topic.items())),
        revenue=dict(revenue.most_common()),
        top_views=[(product, count) for product, count in views.most_common(5) if product],
        declined=sum(member.declined for member in members),
        latency_p50_ms=percentile(latencies_ms, 50),
        latency_p99_ms=percentile(latencies_ms, 99),
        feed=[(topic, line) for _, topic, line in feed],
    )


def percentile(rising: Sequence[float], percent: int) -> float:
    """The value below which `percent` of `rising` lie; 0 of nothing."""
    if not rising:
        return 0.0
    return rising[min(len(rising) - 1, len(rising) * percent // 100)]
