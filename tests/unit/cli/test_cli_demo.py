"""The demo's shop and its figures."""

from __future__ import annotations

from collections import Counter

from tailrace.base.rand import SeededRandom
from tailrace.cli.demo.figures import MemberFigures, describe, percentile, snapshot
from tailrace.cli.demo.shop import ORDERS, PAYMENTS, SHIPMENTS, TOPICS, VISITORS_MAX, Shop


def run_shop(events: int, step_ms: float = 10.0) -> list:
    shop = Shop(SeededRandom(1))
    return [shop.next_event(index * step_ms) for index in range(events)]


def test_the_shop_tells_a_coherent_story() -> None:
    """Every payment is of an order that came before, every shipment of an authorised payment that came before."""
    ordered: dict[str, float] = {}
    authorised: set[str] = set()
    for event in run_shop(20_000):
        if event.topic == ORDERS:
            ordered[event.key] = event.body["total"]
            assert event.body["items"]
        elif event.topic == PAYMENTS:
            assert ordered[event.key] == event.body["amount"]
            if event.body["status"] == "authorised":
                authorised.add(event.key)
        elif event.topic == SHIPMENTS:
            authorised.remove(event.key)
    assert len(ordered) > 100


def test_all_topics_get_events_and_clicks_are_the_most() -> None:
    counts = Counter(event.topic for event in run_shop(20_000))
    assert set(counts) == set(TOPICS)
    assert counts.most_common(1)[0][0] == "shop.clicks"


def test_the_shop_does_not_grow() -> None:
    shop = Shop(SeededRandom(2))
    for index in range(20_000):
        shop.next_event(index * 10.0)
    assert len(shop._visitors) <= VISITORS_MAX
    assert len(shop._due) < 200


def test_figures_of_two_members_add_up() -> None:
    members = [MemberFigures("a"), MemberFigures("b")]
    for index, event in enumerate(run_shop(1000)):
        members[index % 2].count(event.topic, event.body, 100, float(index % 10), float(index))
    now = snapshot(members, 2.0)
    assert (now.records, now.record_bytes) == (1000, 100_000)
    assert sum(now.by_topic.values()) == 1000
    assert 0 <= now.latency_p50_ms <= now.latency_p99_ms <= 9
    last = run_shop(1000)[-1]
    assert now.feed[-1] == (last.topic, describe(last.topic, last.body))
    assert now.as_json()["records"] == 1000


def test_percentiles() -> None:
    assert percentile([], 99) == 0.0
    assert percentile([1.0], 99) == 1.0
    assert percentile([float(n) for n in range(100)], 50) == 50.0
    assert percentile([float(n) for n in range(100)], 99) == 99.0
