"""Records that come and go, by topic, and of all topics. See `replication.traffic`."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from tailrace.node.metrics.limits import OTHER, STEP_COUNT, TOPICS_SHOWN_MAX
from tailrace.node.observed import Observed
from tailrace.observe.exposition import NO_LABELS, Exposition, Sample
from tailrace.replication.traffic import TopicTraffic, Traffic

_PREFIX: Final = "kafka_server_brokertopicmetrics"
_BY_TOPIC: Final = (
    ("messagesin", "messages_in", "Records appended by producers, coordinators and other clients."),
    ("bytesin", "bytes_in", "Bytes of the batches appended."),
    ("bytesout", "bytes_out", "Bytes of the batches that consumers were sent."),
    ("failedproducerequests", "failed_produces", "Partitions of Produce requests that were refused."),
    ("failedfetchrequests", "failed_fetches", "Partitions of Fetch requests that were refused."),
)
_OF_ALL: Final = (
    ("replicationbytesin", "replication_bytes_in", "Bytes of the batches that leaders sent here."),
    ("replicationbytesout", "replication_bytes_out", "Bytes of the batches that followers were sent."),
)

_IN_SYNC: Final = (
    ("isrshrinks", "isr_shrinks", "Changes that took a replica out of those in sync, of partitions led here."),
    ("isrexpands", "isr_expands", "Changes that took a replica in among those in sync, of partitions led here."),
)


def topic_metrics(out: Exposition, observed: Observed) -> Iterator[None]:
    """A series for each topic that is shown, one for the others; without a label, all of them and those deleted."""
    others, total = TopicTraffic(), TopicTraffic()
    traffic = observed.services.partitions.traffic
    others.add(traffic.deleted_others)
    total.add(traffic.deleted)
    rows: list[tuple[str, TopicTraffic]] = []
    for index, (name, counts) in enumerate(_decided(traffic)):
        total.add(counts)
        if counts.is_shown and name != OTHER:
            rows.append((name, counts))
        else:
            others.add(counts)
        if index % STEP_COUNT == STEP_COUNT - 1:
            yield
    for name, count, words in _BY_TOPIC:
        samples: list[Sample] = [({"topic": topic}, getattr(counts, count)) for topic, counts in rows]
        samples.append(({"topic": OTHER}, getattr(others, count)))
        out.counter(
            f"{_PREFIX}_{name}", f"{words} Without a topic: all.", [(NO_LABELS, getattr(total, count)), *samples]
        )
    for name, count, words in _OF_ALL:
        out.counter(f"{_PREFIX}_{name}", words, [(NO_LABELS, getattr(total, count))])
    for name, count, words in _IN_SYNC:
        out.counter(f"kafka_server_replicamanager_{name}", words, [(NO_LABELS, getattr(total, count))])
    yield


def label_of(traffic: Traffic, topic: str) -> str:
    """A topic's label: its name where it is shown."""
    return topic if traffic.is_shown(topic) else OTHER


def _decided(traffic: Traffic) -> list[tuple[str, TopicTraffic]]:
    topics = traffic.topics()
    room = TOPICS_SHOWN_MAX - sum(1 for _, counts in topics if counts.is_shown)
    for _, counts in topics:
        if counts.is_shown is None:
            counts.is_shown = room > 0
            room -= 1
    return topics
