"""ConsumerGroupHeartbeat, decided: joining, staying, leaving.

    1. the member as the request describes it       record when it differs
    2. the group's epoch, when subscriptions or topics changed
    3. the assignment, when it is older than the epoch; that may wait (`pace`)
    4. the member's next step towards it             `reconciling`

A heartbeat that says nothing new, of a member that has arrived, makes no record. Nothing here changes a group.
Source: Kafka's `GroupMetadataManager.consumerGroupHeartbeat`, KIP-848.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups.assignors import ASSIGNORS
from tailrace.coordinator.consumer_groups.draft import Draft
from tailrace.coordinator.consumer_groups.member import (
    JOINING_EPOCH,
    STATIC_LEAVING_EPOCH,
    ConsumerMember,
    Place,
    most_wanted_assignor,
)
from tailrace.coordinator.consumer_groups.reconciling import reconciled
from tailrace.coordinator.consumer_groups.settings import ConsumerGroupSettings
from tailrace.coordinator.consumer_groups.topics import assignees, refresh_regexes, topics_hash
from tailrace.wire.messages.consumer_group_heartbeat import ConsumerGroupHeartbeatRequest


class Surroundings(NamedTuple):
    """What a decision looks at besides the group."""

    settings: ConsumerGroupSettings
    image: MetadataImage
    now_ms: int
    monotonic_ms: Callable[[], float]
    assignment_interval_ms: int
    """The group's."""


class Beat(NamedTuple):
    """One heartbeat that is not a leave."""

    request: ConsumerGroupHeartbeatRequest
    member_id: str
    """The request's, or the one it was given."""
    client_id: str
    client_host: str

    @property
    def owned(self) -> frozenset[Place] | None:
        """What the member says it consumes; None when it does not say."""
        told = self.request.topic_partitions
        if told is None:
            return None
        return frozenset((topic.topic_id, index) for topic in told for index in topic.partitions)

    @property
    def is_joining(self) -> bool:
        """Whether it begins anew."""
        return self.request.member_epoch == JOINING_EPOCH

    @property
    def is_full(self) -> bool:
        """Whether it says everything: then it wants to be told everything."""
        request = self.request
        has_topics = request.subscribed_topic_names is not None or request.subscribed_topic_regex is not None
        return request.rebalance_timeout_ms != -1 and has_topics and request.topic_partitions is not None


class Outcome(NamedTuple):
    """What the member is told once the draft's records are committed."""

    member: ConsumerMember
    tells_assignment: bool
    returns_in_ms: float
    """When it is to ask for an assignment that has to wait; 0: as always."""


def stay(around: Surroundings, draft: Draft, beat: Beat) -> Outcome:
    """Decide a heartbeat that joins or stays. Raises KafkaError, and then the draft is void."""
    check_size(around, draft, beat.member_id)
    known = _find(draft, beat)
    stepped = advance(around, draft, known, _described(known, beat), beat.owned)
    is_changed = stepped.assigned.keys() != known.assigned.keys()
    tells = beat.is_joining or beat.is_full or is_changed or _claims_too_much(beat.owned, stepped)
    if draft.epoch == draft.target_epoch or stepped.member_id in draft.group.targets:
        return Outcome(stepped, tells, 0.0)
    return Outcome(stepped, tells, draft.group.pace.wait_ms(around.monotonic_ms(), around.assignment_interval_ms))


def _claims_too_much(owned: frozenset[Place] | None, member: ConsumerMember) -> bool:
    """Whether it says that it consumes what is neither its own nor to be given up: it did not take in what it was told.

    Kafka tells it nothing then. librdkafka 2.16 reads on for good where it was told a second assignment while it was
    taking up the first, and somebody else reads the same.
    """
    return owned is not None and not owned <= member.assigned.keys() | member.pending_revocation.keys()


def advance(
    around: Surroundings, draft: Draft, known: ConsumerMember, member: ConsumerMember, owned: frozenset[Place] | None
) -> ConsumerMember:
    """Put `member` in the place of what was `known` of it, and let it take its next step."""
    if member != known or member.member_id not in draft.group.members:
        draft.describe_member(member)
    _raise_epoch(around, draft, known, member)
    if draft.epoch > draft.target_epoch:
        pace, begun_ms = draft.group.pace, around.monotonic_ms()
        if pace.wait_ms(begun_ms, around.assignment_interval_ms) <= 0:
            assign(around, draft)
            pace.note(begun_ms, around.monotonic_ms())

    def is_free(place: Place) -> bool:
        return draft.is_free(place, member.member_id)

    stepped = reconciled(member, draft.target_epoch, draft.target(member.member_id), is_free, owned)
    if stepped is not member and stepped != member:
        draft.move_member(stepped)
    return stepped


def check_size(around: Surroundings, draft: Draft, member_id: str) -> None:
    """Raise GROUP_MAX_SIZE_REACHED when there is no room for that member."""
    members = draft.group.members
    if member_id not in members and len(members) >= around.settings.group_consumer_max_size:
        raise KafkaError(ErrorCode.GROUP_MAX_SIZE_REACHED, "The consumer group has reached its maximum capacity.")


def _find(draft: Draft, beat: Beat) -> ConsumerMember:
    group, instance_id = draft.group, beat.request.instance_id
    if not beat.is_joining:
        member = group.find_member(beat.member_id, instance_id)
        _check_epoch(member, beat)
        return member
    if instance_id is not None:
        return _find_static(draft, beat, instance_id)
    if beat.member_id not in group.members:
        draft.reasons.append(f"{beat.member_id} joined")
    return group.members.get(beat.member_id) or ConsumerMember(beat.member_id)


def _find_static(draft: Draft, beat: Beat, instance_id: str) -> ConsumerMember:
    """Who joins as a static member."""
    group = draft.group
    owner_id = group.static_members.get(instance_id)
    if owner_id is None:
        draft.reasons.append(f"{beat.member_id} joined as {instance_id}")
        return ConsumerMember(beat.member_id, instance_id)
    owner = group.members[owner_id]
    if owner.epoch != STATIC_LEAVING_EPOCH and owner.classic is None:
        raise KafkaError(ErrorCode.UNRELEASED_INSTANCE_ID, f"Instance id {instance_id} is owned by {owner_id}.")
    return replaced(draft, owner, beat.member_id)


def replaced(draft: Draft, old: ConsumerMember, member_id: str) -> ConsumerMember:
    """The same static member in a new process: it takes over what the old one had, and nobody else notices."""
    target = draft.target(old.member_id)
    member = old._replace(member_id=member_id, epoch=0, previous_epoch=0)
    draft.replace_member(old.member_id, member, target)
    return member


def _check_epoch(member: ConsumerMember, beat: Beat) -> None:
    """A member one step behind lost our answer: it may go on when it owns no more than it was given."""
    epoch = beat.request.member_epoch
    if epoch == member.epoch:
        return
    owned = beat.owned
    is_retry = epoch == member.previous_epoch and epoch < member.epoch
    if not is_retry or owned is None or not owned <= member.assigned.keys():
        raise KafkaError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            f"Member epoch {epoch} is not the present one, {member.epoch}. The member must give up all its partitions "
            "and join again.",
        )


def _described(member: ConsumerMember, beat: Beat) -> ConsumerMember:
    """The member with what the request says about it; what it leaves out stays as it was."""
    request = beat.request
    names = request.subscribed_topic_names
    return member._replace(
        instance_id=member.instance_id if request.instance_id is None else request.instance_id,
        rack_id=member.rack_id if request.rack_id is None else request.rack_id,
        client_id=beat.client_id,
        client_host=beat.client_host,
        subscribed_topics=member.subscribed_topics if names is None else tuple(sorted(set(names))),
        subscribed_regex=(
            member.subscribed_regex if request.subscribed_topic_regex is None else request.subscribed_topic_regex
        ),
        server_assignor=member.server_assignor if request.server_assignor is None else request.server_assignor,
        rebalance_timeout_ms=(
            member.rebalance_timeout_ms if request.rebalance_timeout_ms == -1 else request.rebalance_timeout_ms
        ),
        classic=None,
    )


def _raise_epoch(around: Surroundings, draft: Draft, known: ConsumerMember, member: ConsumerMember) -> None:
    """Raise the group's epoch when members' wishes or topics are not those it stands for."""
    group = draft.group
    wishes_changed = group.epoch == 0 or known.subscribed_topics != member.subscribed_topics
    regex_changed = known.subscribed_regex != member.subscribed_regex
    if not (wishes_changed or regex_changed or group.needs_refresh):
        return
    if regex_changed or group.needs_refresh:
        regex_changed |= refresh_regexes(around.image, draft, around.now_ms, group.needs_refresh)
    reason = f"{member.member_id} changed its subscription" if wishes_changed or regex_changed else ""
    found = topics_hash(around.image, draft)
    if found != draft.metadata_hash and not reason:
        reason = "topics changed"
    if reason:
        reason = draft.reasons.pop() if draft.reasons else reason
        draft.raise_epoch(found, reason)


def assign(around: Surroundings, draft: Draft) -> None:
    """Compute the assignment of the draft's epoch."""
    name = most_wanted_assignor(draft.members(), around.settings.group_consumer_assignors[0])
    draft.set_targets(ASSIGNORS.get(name, ASSIGNORS["uniform"])(*assignees(around.image, draft)), around.now_ms)


def leave(around: Surroundings, draft: Draft, members: list[ConsumerMember], reason: str) -> None:
    """Decide that members go: the rest are assigned anew at their next heartbeats."""
    for member in members:
        draft.remove_member(member.member_id)
    if any(member.subscribed_regex for member in members):
        refresh_regexes(around.image, draft, around.now_ms, is_stale=False)
    draft.raise_epoch(topics_hash(around.image, draft), reason)


def leave_for_a_while(draft: Draft, member: ConsumerMember) -> None:
    """Decide that a static member is away: it keeps its partitions until its session ends."""
    draft.move_member(member._replace(epoch=STATIC_LEAVING_EPOCH, pending_revocation={}))
