"""What is asked of the cluster: sizes, rate, duration, and the librdkafka properties and the topic they mean.

The topic is made for the run under a name nobody else has, and removed at its end however that comes; each step waits
for at most the command's `--request-timeout`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

import click
from confluent_kafka import KafkaException
from confluent_kafka.admin import NewTopic

from tailrace.base.rand import Random
from tailrace.cli.cluster import ClientProperties, Cluster
from tailrace.cli.failure import CommandFailed
from tailrace.cli.output import note

SIZE_UNITS: Final = {"": 1, "B": 1, "KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1024, "MIB": 1024**2}
TIME_UNITS: Final = {"": 1.0, "MS": 0.001, "S": 1.0, "M": 60.0}
CLIENT_QUEUE_BYTES: Final = 64_000_000
"""What a client holds of records not yet acknowledged; beyond it, the loop waits, or falls behind its schedule."""

QUEUE_RECORDS_MAX: Final = 100_000
QUEUE_BACKOFF_MS: Final = 10
"""How long a consumer whose queue is full asks for nothing. librdkafka's own second is time in which nothing is
measured, and it hits the fastest brokers, which fill the queue first."""


@dataclass(frozen=True)
class Workload:
    """One run. `batch_bytes` 0 is a request for each record; `rate_per_s` None is as fast as it goes."""

    record_bytes: int
    batch_bytes: int
    linger_ms: float
    acks: str
    compression: str
    connections: int
    partitions: int
    replication_factor: int
    rate_per_s: float | None
    duration_s: float

    def producer_properties(self) -> ClientProperties:
        """librdkafka's properties of each producer."""
        properties: ClientProperties = {
            "acks": self.acks,
            "linger.ms": self.linger_ms,
            "compression.type": self.compression,
            "batch.size": max(self.batch_bytes, 1),
            "batch.num.messages": 1 if self.batch_bytes == 0 else 1_000_000,
            "queue.buffering.max.messages": QUEUE_RECORDS_MAX,
            "queue.buffering.max.kbytes": CLIENT_QUEUE_BYTES // 1024,
            "socket.nagle.disable": True,
        }
        if self.record_bytes + 1000 > 1_000_000:
            properties["message.max.bytes"] = self.record_bytes + 1000
        return properties

    def consumer_properties(self, group: str) -> ClientProperties:
        """librdkafka's properties of each consumer; nothing is committed."""
        return {
            "group.id": group,
            "enable.auto.commit": False,
            "auto.offset.reset": "earliest",
            "fetch.max.bytes": 50_000_000,
            "max.partition.fetch.bytes": 10_000_000,
            "queued.min.messages": QUEUE_RECORDS_MAX,
            "queued.max.messages.kbytes": CLIENT_QUEUE_BYTES // 1024,
            "fetch.error.backoff.ms": 20,
            "fetch.queue.backoff.ms": QUEUE_BACKOFF_MS,
            "socket.nagle.disable": True,
        }

    def as_json(self) -> dict[str, Any]:  # JSON
        """What was asked for, for the report."""
        return {
            "record_bytes": self.record_bytes,
            "batch_bytes": self.batch_bytes,
            "linger_ms": self.linger_ms,
            "acks": self.acks,
            "compression": self.compression,
            "connections": self.connections,
            "partitions": self.partitions,
            "rate_per_s": self.rate_per_s,
            "duration_s": self.duration_s,
        }


def payload(size_bytes: int, random: Random) -> bytes:
    """A value of that size; half of it repeats, so that a codec has work to do and something to gain."""
    noise = bytes(random.integer(0, 255) for _ in range(size_bytes - size_bytes // 2))
    return noise + bytes(size_bytes // 2)


@contextmanager
def temporary_topic(cluster: Cluster, workload: Workload, random: Random) -> Iterator[str]:
    """A topic of this run's own, removed at the end."""
    name = f"tailrace-bench-{random.uuid().hex[:12]}"
    admin = cluster.admin()
    settings = {"max.message.bytes": str(workload.record_bytes + 1000)} if workload.record_bytes > 1_000_000 else {}
    wanted = NewTopic(name, workload.partitions, workload.replication_factor, config=settings)
    created = admin.create_topics([wanted], operation_timeout=cluster.timeout_s)
    cluster.wait(created[name], "cannot create a topic to measure with")
    try:
        yield name
    finally:
        removed = admin.delete_topics([name], operation_timeout=cluster.timeout_s)
        try:
            cluster.wait(removed[name])
        except (CommandFailed, KafkaException) as failure:
            note(f"the topic {name} is left behind: {failure}")


def size_bytes(text: str) -> int:
    """A number of bytes, from an option: `512`, `1KB`, `256KiB`, `1.5MB`."""
    return int(_measure(text, SIZE_UNITS, "a size such as 1KB"))


def duration_s(text: str) -> float:
    """Seconds, more than 0, from an option: `10`, `500ms`, `10s`, `2m`."""
    seconds = _measure(text, TIME_UNITS, "a duration such as 10s")
    if seconds <= 0:
        raise click.BadParameter("a duration must be longer than 0")
    return seconds


def _measure(text: str, units: Mapping[str, float], wanted: str) -> float:
    found = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Za-z]*)", text.strip())
    if found is None or found[2].upper() not in units:
        raise click.BadParameter(f"{text!r} is not {wanted}")
    return float(found[1]) * units[found[2].upper()]
