"""What a partition's leader may change of it: its in-sync replicas, and that it has recovered. Pure.

The leader proposes what it saw; the decision holds it against the image, so that a leader that was replaced changes
nothing, and no replica that is fenced, shutting down or restarted since it last fetched is called in sync (KIP-841,
KIP-903). The checks come in this order: the topic and the partition exist; epochs ahead of the image (the image is
behind: try again later); leader epoch; leader; partition epoch; the replicas themselves; who may be in sync.
Not its business: when a replica is in sync (`replication`), how the decision reaches the store.
Source: Kafka ReplicationControlManager.validateAlterPartitionData.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.elections import UNKNOWN_BROKER_EPOCH, ActiveBrokers, ElectionRules, with_isr
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.records import PartitionRecord


class AlterPartition(NamedTuple):
    """A leader's proposal."""

    topic_id: UUID
    partition: int
    leader_id: int
    leader_epoch: int
    partition_epoch: int
    isr: Mapping[int, int]
    """Broker id -> the broker epoch it last fetched with, or UNKNOWN_BROKER_EPOCH."""
    is_recovering: bool = False


def decide_alter_partition(
    image: MetadataImage, asked: AlterPartition, active: ActiveBrokers, rules: ElectionRules
) -> list[PartitionRecord]:
    """The record that makes it true; none where it is true already.

    Raises KafkaError: UNKNOWN_TOPIC_ID, UNKNOWN_TOPIC_OR_PARTITION, NOT_CONTROLLER, FENCED_LEADER_EPOCH,
    INVALID_REQUEST, INVALID_UPDATE_VERSION, INELIGIBLE_REPLICA.
    """
    before = _partition_of(image, asked)
    _check_epochs(before, asked)
    _check_replicas(before, asked)
    ineligible = [each for each, epoch in asked.isr.items() if not _may_be_in_sync(each, epoch, active)]
    if ineligible:
        raise KafkaError(ErrorCode.INELIGIBLE_REPLICA, f"Not in a state to be in sync: {ineligible}")
    isr = tuple(each for each in before.replicas if each in asked.isr)
    if isr == before.isr and asked.is_recovering == before.is_recovering:
        return []
    after = _altered(before, isr, asked, active, rules)
    return [PartitionRecord(asked.topic_id, asked.partition, *after)]


def _altered(
    before: PartitionImage, isr: tuple[int, ...], asked: AlterPartition, active: ActiveBrokers, rules: ElectionRules
) -> PartitionImage:
    after = with_isr(before, isr, active, rules).partition
    if after is before:  # only the recovery ended
        after = before._replace(partition_epoch=before.partition_epoch + 1)
    return after._replace(is_recovering=asked.is_recovering and before.is_recovering)


def _partition_of(image: MetadataImage, asked: AlterPartition) -> PartitionImage:
    topic = image.topic_by_id(asked.topic_id)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_ID)
    if not 0 <= asked.partition < len(topic.partitions):
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    return topic.partitions[asked.partition]


def _check_epochs(before: PartitionImage, asked: AlterPartition) -> None:
    if asked.leader_epoch > before.leader_epoch or asked.partition_epoch > before.partition_epoch:
        raise KafkaError(ErrorCode.NOT_CONTROLLER)
    if asked.leader_epoch < before.leader_epoch:
        raise KafkaError(ErrorCode.FENCED_LEADER_EPOCH)
    if asked.leader_id != before.leader:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "Only the leader changes its partition.")
    if asked.partition_epoch < before.partition_epoch:
        raise KafkaError(ErrorCode.INVALID_UPDATE_VERSION)


def _check_replicas(before: PartitionImage, asked: AlterPartition) -> None:
    if not set(asked.isr) <= set(before.replicas):
        raise KafkaError(ErrorCode.INVALID_REQUEST, "In-sync replicas are replicas.")
    if asked.leader_id not in asked.isr:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "The leader is in sync with itself.")
    if asked.is_recovering and len(asked.isr) > 1:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A leader that is recovering has nobody in sync with it.")
    if asked.is_recovering and not before.is_recovering:
        raise KafkaError(ErrorCode.INVALID_REQUEST, "A leader that has recovered does not recover again.")


def _may_be_in_sync(broker: int, epoch: int, active: ActiveBrokers) -> bool:
    known = active.get(broker)
    return known is not None and epoch in (UNKNOWN_BROKER_EPOCH, known)
