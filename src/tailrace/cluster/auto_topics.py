"""Topics nobody creates by hand: what they are made with. Pure. Source: Kafka AutoTopicCreationManager."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from tailrace.cluster.controller import TopicWish
from tailrace.cluster.image import GROUP_METADATA_TOPIC, SHARE_GROUP_STATE_TOPIC, TRANSACTION_STATE_TOPIC
from tailrace.cluster.settings import BrokerSettings

_PREFIXES: Final[Mapping[str, str]] = {
    GROUP_METADATA_TOPIC: "offsets.topic",
    TRANSACTION_STATE_TOPIC: "transaction.state.log",
    SHARE_GROUP_STATE_TOPIC: "share.coordinator.state.topic",
}
"""Internal topic -> the beginning of the names of the broker settings that size it."""

_CONFIGS: Final[Mapping[str, Mapping[str, str]]] = {
    GROUP_METADATA_TOPIC: {"cleanup.policy": "compact", "compression.type": "producer"},
    TRANSACTION_STATE_TOPIC: {
        "cleanup.policy": "compact",
        "compression.type": "uncompressed",
        "unclean.leader.election.enable": "false",
    },
    SHARE_GROUP_STATE_TOPIC: {"cleanup.policy": "delete", "compression.type": "producer", "retention.ms": "-1"},
}


def auto_topic(name: str, settings: BrokerSettings) -> TopicWish:
    """The wish for topic `name` when a client or a coordinator needs it and it does not exist."""
    prefix = _PREFIXES.get(name)
    if prefix is None:
        return TopicWish(name)
    configs: dict[str, str | None] = dict(_CONFIGS[name])
    configs["segment.bytes"] = str(settings.integer(f"{prefix}.segment.bytes"))
    if name != GROUP_METADATA_TOPIC:
        configs["min.insync.replicas"] = str(settings.integer(f"{prefix}.min.isr"))
    partition_count = settings.integer(f"{prefix}.num.partitions")
    replication_factor = settings.integer(f"{prefix}.replication.factor")
    return TopicWish(name, partition_count, replication_factor, configs=configs)
