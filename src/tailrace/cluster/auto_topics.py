"""Topics nobody creates by hand: what they are made with. Pure. Source: Kafka AutoTopicCreationManager.

Internal topics get as many replicas as Kafka's default says, 3, or one on each live broker where there are fewer; and
one replica less must be in sync, so that the loss of a broker does not stop them. What somebody has set is taken as it
is, and refused where it cannot be.
"""

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


def auto_topic(name: str, settings: BrokerSettings, live_broker_count: int) -> TopicWish:
    """The wish for topic `name` when a client or a coordinator needs it and it does not exist."""
    prefix = _PREFIXES.get(name)
    if prefix is None:
        return TopicWish(name)
    configs: dict[str, str | None] = dict(_CONFIGS[name])
    configs["segment.bytes"] = str(settings.integer(f"{prefix}.segment.bytes"))
    replication_factor = settings.integer(f"{prefix}.replication.factor")
    if not settings.is_given(f"{prefix}.replication.factor"):
        replication_factor = min(replication_factor, max(live_broker_count, 1))
    if name != GROUP_METADATA_TOPIC:
        min_isr = settings.integer(f"{prefix}.min.isr")
        if not settings.is_given(f"{prefix}.min.isr"):
            min_isr = min(min_isr, max(replication_factor - 1, 1))
        configs["min.insync.replicas"] = str(min_isr)
    partition_count = settings.integer(f"{prefix}.num.partitions")
    return TopicWish(name, partition_count, replication_factor, configs=configs)
