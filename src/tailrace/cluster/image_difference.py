"""What leads from one image of the cluster to a later one, when the batches in between are gone. Pure.

Invariant: replaying `difference(before, after)` over `before` gives what `after` holds.
"""

from __future__ import annotations

from collections.abc import Iterator

from tailrace.cluster.image import MetadataImage, TopicImage
from tailrace.cluster.records import (
    BrokerStateRecord,
    ClusterRecord,
    ConfigRecord,
    ControllerRecord,
    DepartedRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    RemoveBrokerRecord,
    RemoveTopicRecord,
    TopicRecord,
)


def difference(before: MetadataImage, after: MetadataImage) -> list[Record]:
    """Records that make `after` of `before`: topics first, so that settings find theirs."""
    records: list[Record] = []
    if after.cluster_id != before.cluster_id:
        records.append(ClusterRecord(after.cluster_id))
    records += (broker for broker in after.brokers.values() if before.brokers.get(broker.broker_id) != broker)
    records += (RemoveBrokerRecord(broker_id) for broker_id in before.brokers if broker_id not in after.brokers)
    records += (
        BrokerStateRecord(broker_id, *state)
        for broker_id, state in after.broker_states.items()
        if before.broker_states.get(broker_id) != state
    )
    if after.controller != before.controller:
        records.append(ControllerRecord(*after.controller))
    records += (
        RemoveTopicRecord(topic.topic_id)
        for topic in before.topics.values()
        if after.topic_by_id(topic.topic_id) is None
    )
    for topic in after.topics.values():
        records += _topic(before.topic_by_id(topic.topic_id), topic)
    records += _configs(before, after)
    if records or after.departed != before.departed:  # what is replayed here may have changed any of them
        records += (DepartedRecord(each, tuple(after.departed.get(each, ()))) for each in after.broker_states)
    if after.next_producer_id != before.next_producer_id:
        records.append(ProducerIdsRecord(-1, after.next_producer_id))
    return records


def _topic(before: TopicImage | None, after: TopicImage) -> Iterator[Record]:
    if before is None:
        yield TopicRecord(after.name, after.topic_id)
    known = [] if before is None else before.partitions
    for index, image in enumerate(after.partitions):
        if index >= len(known) or known[index] != image:
            yield PartitionRecord(after.topic_id, index, *image)


def _configs(before: MetadataImage, after: MetadataImage) -> Iterator[Record]:
    """Settings that came, changed or went. Those of a topic that is gone, or was made anew, went with it."""
    old, new = before.every_config(), after.every_config()
    for resource in dict.fromkeys([*old, *new]):
        had, has = old.get(resource, {}), new.get(resource, {})
        if before.topic_of(resource) != after.topic_of(resource):
            had = {}
        for name in dict.fromkeys([*had, *has]):
            if had.get(name) != has.get(name):
                yield ConfigRecord(*resource, name, has.get(name))
