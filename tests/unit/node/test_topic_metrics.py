"""Topics in /metrics: so many by their names and no more, and sums that never fall."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from tailrace.node.metrics.limits import TOPICS_SHOWN_MAX
from tailrace.node.metrics.topics import topic_metrics
from tailrace.observe.exposition import Exposition
from tailrace.replication.traffic import Traffic

NAME = "kafka_server_brokertopicmetrics_messagesin_total"


def scrape(traffic: Traffic) -> dict[str, int]:
    observed: Any = SimpleNamespace(services=SimpleNamespace(partitions=SimpleNamespace(traffic=traffic)))
    out = Exposition(is_openmetrics=False)
    for _ in topic_metrics(out, observed):
        pass
    lines = (line.rpartition(" ") for line in out.finish().decode().splitlines() if line.startswith(NAME))
    return {name.removeprefix(NAME): int(value) for name, _, value in lines}


def test_topics_beyond_the_bound_are_summed_up_for_good() -> None:
    traffic = Traffic()
    for number in range(TOPICS_SHOWN_MAX + 10):
        traffic.of(f"t{number}").messages_in += 1
    first = scrape(traffic)
    assert len(first) == TOPICS_SHOWN_MAX + 2
    assert first['{topic="other"}'] == 10 and first[""] == TOPICS_SHOWN_MAX + 10
    traffic.on_deleted("t0")
    traffic.on_deleted(f"t{TOPICS_SHOWN_MAX}")
    traffic.of("new").messages_in += 5
    second = scrape(traffic)
    assert '{topic="t0"}' not in second
    assert second['{topic="new"}'] == 5, "the place of one that is gone"
    assert second['{topic="other"}'] == 10, "a sum of others does not fall when one of them is deleted"
    assert second[""] == TOPICS_SHOWN_MAX + 15
    assert scrape(traffic) == second


def test_a_topic_called_other_is_one_of_the_others() -> None:
    traffic = Traffic()
    traffic.of("other").messages_in += 3
    assert scrape(traffic) == {"": 3, '{topic="other"}': 3}
