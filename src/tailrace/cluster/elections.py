"""Who leads a partition when brokers come and go, and which replicas still hold all that was committed. Pure.

    isr    in sync: hold every committed record, and every record must reach them to be committed
    elr    were in sync when the in-sync ones became fewer than `min.insync.replicas`: nothing was committed since, so
           they hold every committed record too (KIP-966)

A clean election chooses the first of the replicas, in their order, that is active and in sync, or, where nobody is in
sync, in `elr`. An unclean one takes who is there and may lose records; it happens where the topic's setting allows it,
where an operator asks for it, or when the last known leader returns and nobody else can ever hold what it has.

Invariants: isr and elr within the replicas and apart; the leader is in sync, or -1; a new leader, or the end of one,
has a new leader epoch, and so has one that lost a replica; whatever changes has a new partition epoch.
A partition that is moved has arrived when all its target replicas are in sync: then the others go (KIP-455).
Not its business: who is active (`ActiveBrokers` is told), when to ask, what a move begins with (`reassignments`).
Source: Kafka PartitionChangeBuilder, PartitionReassignmentReplicas, ReplicationControlManager, KIP-704, KIP-966.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Container, Iterable, Iterator, Mapping
from typing import Final, NamedTuple, TypeAlias

from tailrace.base.types import TopicPartition
from tailrace.cluster.image import MetadataImage, PartitionImage, TopicImage
from tailrace.cluster.records import PartitionRecord

NO_LEADER: Final = -1

UNKNOWN_BROKER_EPOCH: Final = -1
"""In which of its lives a broker is, is not known; then it is not held against it."""

ActiveBrokers: TypeAlias = Mapping[int, int]
"""Brokers that may lead and be in sync: registered, not fenced, not shutting down. Broker id -> its epoch."""


class ElectionRules(NamedTuple):
    """What a topic's settings say: `min.insync.replicas` and `unclean.leader.election.enable`."""

    min_insync_replicas: int = 1
    is_unclean_allowed: bool = False


RulesOf: TypeAlias = Callable[[str], ElectionRules]
"""The rules of a topic, by name."""


class Election(NamedTuple):
    """The outcome: the partition as it is to be, and whether its leader may lack committed records."""

    partition: PartitionImage
    is_unclean: bool


def effective_min_isr(partition: PartitionImage, rules: ElectionRules) -> int:
    """In-sync replicas without which nothing is committed: never more than there are replicas."""
    return min(rules.min_insync_replicas, len(partition.replicas))


def with_isr(
    before: PartitionImage,
    isr: Collection[int],
    active: ActiveBrokers,
    rules: ElectionRules,
    lost: Collection[int] = (),
) -> Election:
    """`before` with other in-sync replicas, and a leader among them if there can be one. A move may arrive by it.

    `lost`: replicas that may have lost records, by an unclean end: neither in sync nor eligible any more.
    """
    target = _arrived(before, [each for each in isr if each not in lost])
    target_isr = target.isr
    elr = _elr_after(before, target, rules, lost)
    leader = _clean_leader(target, elr, active)
    is_unclean = False
    if leader == NO_LEADER:
        leader = _unclean_leader(target, elr, active, rules)
        is_unclean = leader != NO_LEADER
    if is_unclean:
        target = _arrived(target, (leader,))
        after = target._replace(leader=leader, elr=(), is_recovering=True, last_known_leader=NO_LEADER)
    else:
        if leader != NO_LEADER and leader not in target_isr:  # out of the eligible ones
            target = _arrived(target, (leader,))
            elr = _elr_after(before, target, rules, lost)
        last = NO_LEADER if leader != NO_LEADER else _last_leader(before)
        after = target._replace(leader=leader, elr=elr, last_known_leader=last)
    return Election(with_epochs(before, after, is_new_term=is_unclean), is_unclean)


def _arrived(before: PartitionImage, isr: Collection[int]) -> PartitionImage:
    """`before` with this `isr`; without the replicas that it was to lose where those it keeps are all in sync."""
    kept = before.target_replicas
    if not before.is_moving or not kept or not set(isr).issuperset(kept):
        return before._replace(isr=tuple(isr))
    kept_isr = tuple(each for each in isr if each in kept)
    return before._replace(replicas=kept, isr=kept_isr, adding_replicas=(), removing_replicas=())


def elect_preferred(before: PartitionImage, active: ActiveBrokers) -> PartitionImage | None:
    """The first replica as the leader; None where it leads already, is not active or not in sync."""
    preferred = before.replicas[0]
    if preferred == before.leader or preferred not in before.isr or preferred not in active:
        return None
    return with_epochs(before, before._replace(leader=preferred, last_known_leader=NO_LEADER))


def elect_unclean(before: PartitionImage, active: ActiveBrokers, rules: ElectionRules) -> Election | None:
    """A leader for a partition without one, whatever it may lack; None where it has one, or no replica is active."""
    if before.leader != NO_LEADER:
        return None
    election = with_isr(before, before.isr, active, rules._replace(is_unclean_allowed=True))
    return None if election.partition.leader == NO_LEADER else election


def _elr_after(
    before: PartitionImage, target: PartitionImage, rules: ElectionRules, lost: Collection[int]
) -> tuple[int, ...]:
    isr = target.isr
    if len(isr) >= effective_min_isr(target, rules):
        return ()
    known = {*before.isr, *before.elr}
    return tuple(each for each in target.replicas if each in known and each not in isr and each not in lost)


def _clean_leader(target: PartitionImage, elr: Collection[int], active: ActiveBrokers) -> int:
    candidates = target.isr or elr
    if target.leader in candidates and target.leader in active:
        return target.leader
    return next((each for each in target.replicas if each in candidates and each in active), NO_LEADER)


def _unclean_leader(target: PartitionImage, elr: Collection[int], active: ActiveBrokers, rules: ElectionRules) -> int:
    last = _last_leader(target)
    if not target.isr and not elr and last in active and last in target.replicas:
        return last
    if not rules.is_unclean_allowed:
        return NO_LEADER
    return next((each for each in target.replicas if each in active), NO_LEADER)


def _last_leader(before: PartitionImage) -> int:
    return before.leader if before.leader != NO_LEADER else before.last_known_leader


def with_epochs(before: PartitionImage, after: PartitionImage, *, is_new_term: bool = False) -> PartitionImage:
    """`after` with the epochs of a change; `before` itself where there is none."""
    if after == before and not is_new_term:
        return before
    is_new_term |= after.leader != before.leader or not set(after.replicas).issuperset(before.replicas)
    return after._replace(
        leader_epoch=before.leader_epoch + is_new_term,
        partition_epoch=before.partition_epoch + 1,
        is_recovering=after.is_recovering and after.leader != NO_LEADER,
    )


# -- over the whole image ----------------------------------------------------------------------------------------------


def active_brokers(image: MetadataImage, without: Container[int] = ()) -> dict[int, int]:
    """Those that are registered, not fenced and not shutting down. A broker that is alone always is.

    `without`: brokers that the image does not know to be gone yet.
    """
    epochs = ((broker_id, active_epoch(image, broker_id)) for broker_id in image.brokers if broker_id not in without)
    return {broker_id: epoch for broker_id, epoch in epochs if epoch is not None}


def active_epoch(image: MetadataImage, broker_id: int) -> int | None:
    """The epoch of one of `active_brokers`; None where it is not one of them."""
    if broker_id not in image.brokers:
        return None
    state = image.broker_states.get(broker_id)
    if state is None:
        return UNKNOWN_BROKER_EPOCH
    return None if state.is_fenced or state.is_shutting_down else state.epoch


def in_sync_beside(image: MetadataImage, broker: int) -> frozenset[int]:
    """The active brokers that are in sync in a partition in which `broker` is: when it leaves, these are counted on."""
    beside = {each for _, _, partition in _partitions(image) if broker in partition.isr for each in partition.isr}
    return frozenset(each for each in beside if each != broker and active_epoch(image, each) is not None)


class Elections(NamedTuple):
    """What became of many partitions."""

    records: list[PartitionRecord]
    unclean: list[tuple[str, int]]
    """(topic, partition) of those whose new leader may lack committed records: to be logged and counted."""

    def add(self, topic: TopicImage, index: int, before: PartitionImage, election: Election) -> None:
        """Note what became of a partition, if anything did."""
        if election.partition is not before:
            self.records.append(PartitionRecord(topic.topic_id, index, *election.partition))
            if election.is_unclean:
                self.unclean.append((topic.name, index))


def decide_broker_leaves(
    image: MetadataImage, broker: int, active: ActiveBrokers, rules_of: RulesOf, gone: Iterable[int] = ()
) -> Elections:
    """`broker` was fenced, or is shutting down: it leads nothing and is in sync with nothing. It is not in `active`.

    Nor are `gone`, who leave at the same time wherever it was in sync: so it stays eligible beside them.
    """
    assert broker not in active
    leaving = (broker, *gone)
    return _settle(image, active, rules_of, lambda it: broker in it.isr or it.leader == broker, leaving=leaving)


def decide_broker_returns(image: MetadataImage, broker: int, active: ActiveBrokers, rules_of: RulesOf) -> Elections:
    """`broker` is active: partitions that have no leader and a replica there may have one."""
    return _settle(image, active, rules_of, lambda it: it.leader == NO_LEADER and broker in it.replicas)


def decide_records_lost(image: MetadataImage, broker: int, active: ActiveBrokers, rules_of: RulesOf) -> Elections:
    """`broker` ended uncleanly and may lack what was in its page cache: no partition counts on it any more."""
    return _settle(image, active, rules_of, lambda it: broker in it.isr or broker in it.elr, lost=(broker,))


def decide_replicas_offline(
    image: MetadataImage,
    broker: int,
    partitions: Iterable[TopicPartition],
    active: ActiveBrokers,
    rules_of: RulesOf,
) -> Elections:
    """A log directory of `broker` failed: of these partitions it leads none and is in sync with none."""
    gone = {(each.topic, each.partition) for each in partitions}
    others = {each: epoch for each, epoch in active.items() if each != broker}
    settled = Elections([], [])
    for topic, index, before in _partitions(image):
        if (topic.name, index) in gone and (broker in before.isr or broker == before.leader):
            isr = [each for each in before.isr if each != broker]
            settled.add(topic, index, before, with_isr(before, isr, others, rules_of(topic.name)))
    return settled


def decide_failover(image: MetadataImage, active: ActiveBrokers, rules_of: RulesOf) -> Elections:
    """What a controller settles when it begins: who is in sync or leads, and is not active, does so no more."""
    return _settle(
        image,
        active,
        rules_of,
        lambda it: it.leader not in active or any(each not in active for each in it.isr),
        leaving=_Inactive(active),
    )


def decide_preferred(image: MetadataImage, active: ActiveBrokers) -> list[PartitionRecord]:
    """Every partition led by the first of its replicas, where that one is active and in sync."""
    records = []
    for topic, index, before in _partitions(image):
        after = elect_preferred(before, active)
        if after is not None:
            records.append(PartitionRecord(topic.topic_id, index, *after))
    return records


class _Inactive:
    """Every broker that is not active."""

    def __init__(self, active: ActiveBrokers) -> None:
        self._active = active

    def __contains__(self, broker: object) -> bool:
        return broker not in self._active


def _partitions(image: MetadataImage) -> Iterator[tuple[TopicImage, int, PartitionImage]]:
    for topic in image.topics.values():
        for index, partition in enumerate(topic.partitions):
            yield topic, index, partition


def _settle(
    image: MetadataImage,
    active: ActiveBrokers,
    rules_of: RulesOf,
    is_concerned: Callable[[PartitionImage], bool],
    *,
    leaving: Collection[int] | _Inactive = (),
    lost: Collection[int] = (),
) -> Elections:
    settled = Elections([], [])
    for topic, index, before in _partitions(image):
        if not is_concerned(before):
            continue
        isr = [each for each in before.isr if each not in leaving]
        settled.add(topic, index, before, with_isr(before, isr, active, rules_of(topic.name), lost))
    return settled
