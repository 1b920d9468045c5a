"""Topics nobody creates by hand: what they are made with. Pure. Source: Kafka AutoTopicCreationManager."""

from __future__ import annotations

from tailrace.cluster.controller import TopicWish
from tailrace.cluster.image import GROUP_METADATA_TOPIC, SHARE_GROUP_STATE_TOPIC, TRANSACTION_STATE_TOPIC
from tailrace.cluster.settings import BrokerSettings

_PREFIXES = {
    GROUP_METADATA_TOPIC: "offsets.topic",
    TRANSACTION_STATE_TOPIC: "transaction.state.log",
    SHARE_GROUP_STATE_TOPIC: "share.coordinator.state.topic",
}


def auto_topic(name: str, settings: BrokerSettings) -> TopicWish:
    """The wish for topic `name` when a client or a coordinator needs it and it does not exist."""
    prefix = _PREFIXES.get(name)
    if prefix is None:
        return TopicWish(name)
    configs: dict[str, str | None] = {
        "cleanup.policy": "compact",
        "compression.type": "uncompressed",
        "segment.bytes": str(settings.integer(f"{prefix}.segment.bytes")),
    }
    if name == GROUP_METADATA_TOPIC:
        configs["compression.type"] = "producer"
    elif name == SHARE_GROUP_STATE_TOPIC:
        configs |= {"cleanup.policy": "delete", "compression.type": "producer", "retention.ms": "-1"}
    else:
        configs["unclean.leader.election.enable"] = "false"
    if prefix != "offsets.topic":
        configs["min.insync.replicas"] = str(settings.integer(f"{prefix}.min.isr"))
    return TopicWish(
        name,
        settings.integer(f"{prefix}.num.partitions"),
        settings.integer(f"{prefix}.replication.factor"),
        configs=configs,
    )
