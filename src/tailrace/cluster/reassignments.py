"""What the controller decides when somebody wants a partition on other brokers, or in another order on the same ones.

    replicas 1 2 3, wanted 4 2 ──> replicas 4 2 1 3, adding 4, removing 1 3 ──> all of 4 2 in sync ──> replicas 4 2

Pure: nothing changes until the records are committed and replayed. A refusal is a KafkaError with Kafka's code. What
ends a move is a change of the in-sync replicas (`elections`); where nothing has to be copied it ends as it begins. The
leader stays unless its replica goes. A wish takes the place of one that is in progress, and what that one was adding
goes at once, unless nobody else is in sync: a cancel leads back to where it all began, which in Kafka it does not
after two wishes.
Source: KIP-455, KIP-860, Kafka ReplicationControlManager.alterPartitionReassignments, PartitionReassignmentReplicas,
PartitionReassignmentRevert.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.elections import ActiveBrokers, ElectionRules, with_epochs, with_isr
from tailrace.cluster.image import MetadataImage, PartitionImage
from tailrace.cluster.placement import check_assignment
from tailrace.cluster.records import PartitionRecord, Record


class ReassignmentWish(NamedTuple):
    """One partition, and the replicas it shall have, preferred leader first; None cancels what is in progress."""

    topic: str
    partition: int
    replicas: Sequence[int] | None
    may_change_factor: bool = True
    """Whether their number may be another than before."""


def decide_reassignment(
    image: MetadataImage, wish: ReassignmentWish, active: ActiveBrokers, rules: ElectionRules
) -> list[Record]:
    """Begin to move one partition, or end that. `active`: brokers that may lead it.

    Raises KafkaError: UNKNOWN_TOPIC_OR_PARTITION, NO_REASSIGNMENT_IN_PROGRESS, INVALID_REPLICA_ASSIGNMENT,
    INVALID_REPLICATION_FACTOR.
    """
    topic, index = wish.topic, wish.partition
    found = image.topic(topic)
    if found is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find a topic named {topic}.")
    before = image.partition(topic, index)
    if before is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION, f"Unable to find partition {topic}:{index}.")
    if wish.replicas is None:
        target = _cancelled(wish, before, rules)
    else:
        check_assignment(wish.replicas, list(image.brokers))
        _check_factor(wish, before)
        target = _towards(before, tuple(wish.replicas))
    settled = with_isr(target, target.isr, active, rules).partition
    after = with_epochs(before, settled, is_new_term=settled.leader_epoch != before.leader_epoch)
    return [] if after is before else [PartitionRecord(found.topic_id, index, *after)]


def _check_factor(wish: ReassignmentWish, before: PartitionImage) -> None:
    assert wish.replicas is not None
    count = len(before.target_replicas)
    if not wish.may_change_factor and len(wish.replicas) != count:
        message = f"The replication factor would change from {count} to {len(wish.replicas)}."
        raise KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, message)


def _towards(before: PartitionImage, wanted: tuple[int, ...]) -> PartitionImage:
    """`before` on its way to `wanted`."""
    stale = set(before.adding_replicas).difference(wanted)
    kept = stale if stale.issuperset(before.isr) else set()
    held = kept.union(before.replicas).difference(set(before.adding_replicas) - kept)
    removing = tuple(sorted(held.difference(wanted)))
    return before._replace(
        replicas=wanted + removing,
        isr=tuple(each for each in before.isr if each not in stale or each in kept),
        adding_replicas=tuple(sorted(set(wanted).difference(held))),
        removing_replicas=removing,
    )


def _cancelled(wish: ReassignmentWish, before: PartitionImage, rules: ElectionRules) -> PartitionImage:
    """`before` with the replicas that it had, and none of those that were coming."""
    if not before.is_moving:
        raise KafkaError(ErrorCode.NO_REASSIGNMENT_IN_PROGRESS)
    coming = before.adding_replicas
    isr = tuple(each for each in before.isr if each not in coming)
    if not isr and not set(before.elr).difference(coming) and not rules.is_unclean_allowed:
        message = (
            f"Unable to revert partition assignment for {wish.topic}:{wish.partition} because it would require an "
            "unclean leader election."
        )
        raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)
    replicas = tuple(each for each in before.replicas if each not in coming)
    return before._replace(replicas=replicas, isr=isr, adding_replicas=(), removing_replicas=())
