"""Everything the cluster tells about a topic, gathered into one value: partitions, offsets, settings."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from confluent_kafka import KafkaError, TopicCollection, TopicPartition
from confluent_kafka.admin import AdminClient, ConfigResource, ConfigSource, OffsetSpec, ResourceType

from tailrace.cli.cluster import Cluster
from tailrace.cli.failure import CommandFailed

URL_SAFE = str.maketrans("+/", "-_")
"""librdkafka writes a topic id in standard base64, Kafka's own tools in the URL-safe alphabet: we follow Kafka."""

PASSING_CODES: Final = frozenset(
    {KafkaError.NOT_LEADER_FOR_PARTITION, KafkaError.LEADER_NOT_AVAILABLE, KafkaError.UNKNOWN_TOPIC_OR_PART}
)
OFFSET_ATTEMPTS: Final = 20
OFFSET_RETRY_S: Final = 0.1
"""Two seconds in all: elections take tens of milliseconds."""

Places = dict[tuple[str, int], int]
"""An offset for each (topic, partition)."""


@dataclass(frozen=True, slots=True)
class PartitionDetails:
    """One partition. `leader` is -1 when there is none; offsets are -1 when the leader did not tell."""

    partition: int
    leader: int
    replicas: list[int]
    isr: list[int]
    earliest_offset: int
    latest_offset: int


@dataclass(frozen=True, slots=True)
class TopicDetails:
    """One topic, partitions rising by number."""

    name: str
    topic_id: str
    internal: bool
    partitions: list[PartitionDetails]
    configs: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        """The document of `topics describe --json`."""
        return {
            "topic": self.name,
            "topic_id": self.topic_id,
            "internal": self.internal,
            "partitions": [asdict(partition) for partition in self.partitions],
            "configs": self.configs,
        }


def describe_topics(
    cluster: Cluster, admin: AdminClient, names: Sequence[str], *, all_configs: bool
) -> list[TopicDetails]:
    """Details of the named topics, in that order. A topic that does not exist fails the command."""
    futures = admin.describe_topics(TopicCollection(list(names)), request_timeout=cluster.timeout_s)
    described = {name: cluster.wait(futures[name], f"cannot describe topic {name}") for name in names}
    partitions = [(name, part.id) for name in names for part in described[name].partitions if part.leader]
    earliest = list_offsets(cluster, admin, partitions, OffsetSpec.earliest())
    latest = list_offsets(cluster, admin, partitions, OffsetSpec.latest())
    configs = _describe_configs(cluster, admin, names, all_configs=all_configs)
    return [
        TopicDetails(
            name=name,
            topic_id=str(described[name].topic_id).translate(URL_SAFE),
            internal=bool(described[name].is_internal),
            partitions=[
                PartitionDetails(
                    partition=part.id,
                    leader=part.leader.id if part.leader else -1,
                    replicas=[node.id for node in part.replicas],
                    isr=[node.id for node in part.isr],
                    earliest_offset=earliest.get((name, part.id), -1),
                    latest_offset=latest.get((name, part.id), -1),
                )
                for part in sorted(described[name].partitions, key=lambda part: part.id)
            ],
            configs=configs[name],
        )
        for name in names
    ]


def list_offsets(
    cluster: Cluster, admin: AdminClient, partitions: Sequence[tuple[str, int]], spec: OffsetSpec
) -> Places:
    """The offset `spec` asks for in each partition; -1 where there is none (no record that late).

    A leader that has just been elected may not know it yet, so refusals that pass are asked again for a while.
    """
    found: Places = {}
    for attempts_left in range(OFFSET_ATTEMPTS, 0, -1):
        missing = [place for place in partitions if place not in found]
        if not missing:
            break
        wanted = {TopicPartition(topic, partition): spec for topic, partition in missing}
        futures = admin.list_offsets(wanted, request_timeout=cluster.timeout_s)
        for place, future in futures.items():
            try:
                found[place.topic, place.partition] = cluster.wait(future).offset
            except CommandFailed as failure:
                passing = isinstance(failure.cause, KafkaError) and failure.cause.code() in PASSING_CODES
                if not passing or attempts_left == 1:
                    raise
        threading.Event().wait(0 if len(found) == len(partitions) else OFFSET_RETRY_S)
    return found


def _describe_configs(
    cluster: Cluster, admin: AdminClient, names: Sequence[str], *, all_configs: bool
) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ResourceType.TOPIC, name) for name in names]
    futures = admin.describe_configs(resources, request_timeout=cluster.timeout_s)
    return {
        resource.name: {
            name: entry.value
            for name, entry in sorted(cluster.wait(future).items())
            if all_configs or ConfigSource(entry.source) == ConfigSource.DYNAMIC_TOPIC_CONFIG
        }
        for resource, future in futures.items()
    }
