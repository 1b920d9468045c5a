"""Partitions: how many this broker leads and follows, which lack replicas, which of the cluster's nobody leads."""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.node.metrics.limits import STEP_COUNT
from tailrace.node.observed import Observed
from tailrace.observe.exposition import NO_LABELS, Exposition


def partition_metrics(out: Exposition, observed: Observed) -> Iterator[None]:
    """Of the cluster's image, and of what is here."""
    services = observed.services
    node_id = services.node_id
    total = led = followed = leaderless = thin = 0
    for topic in list(services.metadata.image.topics.values()):
        for partition in topic.partitions:
            total += 1
            leaderless += partition.leader < 0
            if partition.leader == node_id:
                led += 1
                thin += len(partition.isr) < len(partition.replicas)
            elif node_id in partition.replicas:
                followed += 1
            if total % STEP_COUNT == 0:
                yield
    under_min = sum(1 for each in services.partitions if each.followers is not None and each.followers.is_under_min_isr)
    figures = [
        ("kafka_controller_kafkacontroller_globalpartitioncount", "Partitions of the cluster.", total),
        ("kafka_controller_kafkacontroller_offlinepartitionscount", "Partitions that nobody leads.", leaderless),
        ("kafka_server_replicamanager_partitioncount", "Partitions with a replica here.", led + followed),
        ("kafka_server_replicamanager_leadercount", "Partitions that this broker leads.", led),
        (
            "kafka_server_replicamanager_underreplicatedpartitions",
            "Led here, with replicas that are not in sync.",
            thin,
        ),
        ("kafka_server_replicamanager_underminisrpartitioncount", "Led here, below min.insync.replicas.", under_min),
        (
            "kafka_server_replicamanager_offlinereplicacount",
            "Replicas whose log directory here has failed.",
            len(services.partitions.offline),
        ),
    ]
    for name, words, value in figures:
        out.gauge(name, words, [(NO_LABELS, value)])
    yield
