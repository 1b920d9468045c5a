"""How a member comes from what it owns to what it is to own: at most one step a heartbeat.

Invariant: a partition is given only when nobody else owns it, and one that was taken away is somebody's until its owner
says in a heartbeat that it has stopped. So no two members ever own one partition.
Source: Kafka's `CurrentAssignmentBuilder`, KIP-848.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from tailrace.coordinator.consumer_groups.member import ConsumerMember, MemberState, Place


def reconciled(
    member: ConsumerMember,
    target_epoch: int,
    target: frozenset[Place],
    is_free: Callable[[Place], bool],
    owned: frozenset[Place] | None,
) -> ConsumerMember:
    """The member after its next step; itself when it has to wait or has arrived.

    `owned` is what it says it consumes; None when it does not say.
    """
    if member.state is MemberState.UNREVOKED_PARTITIONS:
        if _still_owns(owned, member.pending_revocation):
            return member
        return _next(member, member.epoch + 1, target_epoch, target, is_free, owned)
    if member.state is MemberState.STABLE and member.epoch == target_epoch:
        return member
    return _next(member, member.epoch, target_epoch, target, is_free, owned)


def _next(
    member: ConsumerMember,
    epoch: int,
    target_epoch: int,
    target: frozenset[Place],
    is_free: Callable[[Place], bool],
    owned: frozenset[Place] | None,
) -> ConsumerMember:
    kept = {place: since for place, since in member.assigned.items() if place in target}
    leaving = {place: since for place, since in member.assigned.items() if place not in target}
    if leaving and _still_owns(owned, leaving):
        return member.moved(epoch, MemberState.UNREVOKED_PARTITIONS, kept, leaving)
    wanted = [place for place in target if place not in kept]
    free = [place for place in wanted if is_free(place)]
    kept.update(dict.fromkeys(free, target_epoch))
    state = MemberState.STABLE if len(free) == len(wanted) else MemberState.UNRELEASED_PARTITIONS
    return member.moved(target_epoch, state, kept)


def _still_owns(owned: frozenset[Place] | None, leaving: Mapping[Place, int]) -> bool:
    return owned is None or any(place in leaving for place in owned)
