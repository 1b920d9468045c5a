"""ShareGroupHeartbeat, decided: joining, staying, leaving.

    1. the member as the request describes it       record when it differs
    2. the group's epoch, when subscriptions, topics or the partitions with a state changed
    3. the assignment, when it is older than the epoch and the last one was not a moment ago
    4. the member at once at its assignment         nobody has to give anything up first
    5. states for partitions that have none yet     asked for when the records are committed

A heartbeat that says nothing new, of a member that has arrived, makes no record. Nothing here changes a group.
Source: Kafka's `GroupMetadataManager.shareGroupHeartbeat`, KIP-932.
"""

from __future__ import annotations

from typing import NamedTuple
from uuid import UUID

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.share_groups import records
from tailrace.coordinator.share_groups.assignor import Assignee, simple
from tailrace.coordinator.share_groups.group import ShareGroup
from tailrace.coordinator.share_groups.limits import INITIALIZE_RETRY_MS
from tailrace.coordinator.share_groups.member import JOINING_EPOCH, NOTHING, Place, ShareMember
from tailrace.coordinator.share_groups.state_partitions import TopicPartitions
from tailrace.coordinator.topics_hash import topics_hash
from tailrace.wire.messages.share_group_heartbeat import ShareGroupHeartbeatRequest


class Surroundings(NamedTuple):
    """What a decision looks at besides the group."""

    max_size: int
    assignment_interval_ms: int
    image: MetadataImage
    now_ms: int


class Beat(NamedTuple):
    """One heartbeat that is not a leave."""

    request: ShareGroupHeartbeatRequest
    client_id: str
    client_host: str


class Draft:
    """A change of one group on its way into the log. The group itself is not touched."""

    __slots__ = ("epoch", "group", "initializing", "members", "reasons", "records", "target_epoch", "targets")

    def __init__(self, group: ShareGroup) -> None:
        self.group = group
        self.records: list[CoordinatorRecord] = []
        self.members = dict(group.members)
        """Every member as it will be."""
        self.epoch = group.epoch
        self.target_epoch = group.target_epoch
        self.targets = group.targets
        self.reasons: list[str] = []
        """Why the epoch is raised, for people."""
        self.initializing: TopicPartitions = {}
        """Partitions whose state is to be made when this is in the log."""

    def subscribed_topics(self) -> set[str]:
        """Every topic a member wants."""
        return {topic for member in self.members.values() for topic in member.subscribed_topics}

    def raise_epoch(self, metadata_hash: int, reason: str) -> None:
        """The assignment is to be computed again."""
        self.epoch += 1
        self.reasons.append(reason)
        self.records.append(records.epoch_record(self.group.group_id, self.epoch, metadata_hash))


class Outcome(NamedTuple):
    """What the member is told once the draft's records are committed."""

    member: ShareMember
    tells_assignment: bool


def stay(around: Surroundings, draft: Draft, beat: Beat) -> Outcome:
    """Decide a heartbeat that joins or stays. Raises KafkaError, and then the draft is void."""
    group, request = draft.group, beat.request
    known = _find(around, draft, beat)
    member = _described(known, beat)
    if member != known or member.member_id not in group.members:
        draft.records.append(records.member_record(group.group_id, member))
    draft.members[member.member_id] = member
    wishes_changed = member.subscribed_topics != known.subscribed_topics
    has_moved = _raise_epoch(around, draft, wishes_changed, member.member_id)
    if draft.epoch > draft.target_epoch and _may_assign(around, group):
        _assign(around, draft)
    stepped = _at_target(around, draft, member, has_moved)
    if stepped != member:
        draft.records.append(records.current_record(group.group_id, stepped))
    if draft.records or group.needs_refresh or group.state_partitions.initializing:
        _initialize(around, draft)
    is_full = request.subscribed_topic_names is not None
    tells = request.member_epoch == JOINING_EPOCH or is_full or stepped.assigned != known.assigned
    return Outcome(stepped, tells)


def leave(around: Surroundings, draft: Draft, member: ShareMember, reason: str) -> None:
    """Decide that a member goes: the rest are assigned anew at their next heartbeats."""
    del draft.members[member.member_id]
    draft.records += records.member_tombstones(draft.group.group_id, member.member_id)
    draft.raise_epoch(topics_hash(around.image, draft.subscribed_topics()), reason)


def _find(around: Surroundings, draft: Draft, beat: Beat) -> ShareMember:
    group, request = draft.group, beat.request
    known = group.members.get(request.member_id)
    if known is None and len(group.members) >= around.max_size:
        raise KafkaError(
            ErrorCode.GROUP_MAX_SIZE_REACHED,
            f"The share group has reached its maximum capacity of {around.max_size} members.",
        )
    if request.member_epoch == JOINING_EPOCH:
        if known is None:
            draft.reasons.append(f"{request.member_id} joined")
        return known or ShareMember(request.member_id)
    member = group.member(request.member_id)
    if request.member_epoch not in (member.epoch, member.previous_epoch) or request.member_epoch > member.epoch:
        raise KafkaError(
            ErrorCode.FENCED_MEMBER_EPOCH,
            f"Member epoch {request.member_epoch} is not the present one, {member.epoch}. The member must give up all "
            "its partitions and join again.",
        )
    return member


def _described(member: ShareMember, beat: Beat) -> ShareMember:
    """The member with what the request says about it; what it leaves out stays as it was."""
    request = beat.request
    names = request.subscribed_topic_names
    return member._replace(
        rack_id=member.rack_id if request.rack_id is None else request.rack_id,
        client_id=beat.client_id,
        client_host=beat.client_host,
        subscribed_topics=member.subscribed_topics if names is None else tuple(sorted(set(names))),
    )


def _raise_epoch(around: Surroundings, draft: Draft, wishes_changed: bool, member_id: str) -> bool:
    """Raise the group's epoch when members' wishes, topics or states are not those it stands for; whether it was."""
    group = draft.group
    reason = f"{member_id} changed its subscription" if wishes_changed else ""
    if not reason and group.target_epoch >= group.epoch and group.has_unassigned:
        reason = "partitions can be consumed now"
    if not reason and not group.needs_refresh:
        return False
    found = topics_hash(around.image, draft.subscribed_topics())
    if not reason and found != group.metadata_hash:
        reason = "topics changed"
    if reason:
        draft.raise_epoch(found, draft.reasons.pop() if draft.reasons else reason)
    return bool(reason)


def _may_assign(around: Surroundings, group: ShareGroup) -> bool:
    """Whether the last assignment is long enough ago, so that many joins at once make few assignments."""
    interval_ms = around.assignment_interval_ms
    return not group.assigned_ms or not interval_ms or around.now_ms >= group.assigned_ms + interval_ms


def _assign(around: Surroundings, draft: Draft) -> None:
    """Compute the assignment of the draft's epoch; who keeps what it had gets no record."""
    group = draft.group
    assignees = [
        Assignee(member.member_id, _existing(around.image, member), group.targets.get(member.member_id, NOTHING))
        for _, member in sorted(draft.members.items())
    ]
    assignable = {topic: sorted(indexes) for topic, indexes in group.state_partitions.initialized.items()}
    draft.targets = simple(assignees, assignable)
    for member_id, target in draft.targets.items():
        if target != group.targets.get(member_id):
            draft.records.append(records.target_record(group.group_id, member_id, target))
    draft.target_epoch = draft.epoch
    draft.records.append(records.target_epoch_record(group.group_id, draft.epoch, around.now_ms))


def _existing(image: MetadataImage, member: ShareMember) -> frozenset[UUID]:
    topics = (image.topic(name) for name in member.subscribed_topics)
    return frozenset(topic.topic_id for topic in topics if topic is not None)


def _at_target(around: Surroundings, draft: Draft, member: ShareMember, has_moved: bool) -> ShareMember:
    """The member at the assignment, of what it still wants."""
    if member.epoch == draft.target_epoch and not has_moved:
        return member
    wanted = _existing(around.image, member)
    target: frozenset[Place] = draft.targets.get(member.member_id, NOTHING)
    return member.moved(draft.target_epoch, frozenset(place for place in target if place[0] in wanted))


def _initialize(around: Surroundings, draft: Draft) -> None:
    """Put down the partitions that are wanted and have no state, and that nobody asked one for a moment ago."""
    group, book = draft.group, draft.group.state_partitions
    asked_since_ms = around.now_ms - INITIALIZE_RETRY_MS
    names: dict[UUID, str] = {}
    missing: dict[UUID, frozenset[int]] = {}
    for name in sorted(draft.subscribed_topics()):
        topic = around.image.topic(name)
        if topic is None:
            continue
        known = book.initialized.get(topic.topic_id, frozenset())
        if len(known) >= len(topic.partitions):
            continue
        if group.initializing_since_ms.get(topic.topic_id, -INITIALIZE_RETRY_MS) > asked_since_ms:
            known |= book.initializing.get(topic.topic_id, frozenset())
        lacking = frozenset(range(len(topic.partitions))) - known
        if lacking:
            missing[topic.topic_id] = lacking
            names[topic.topic_id] = name
    if missing:
        draft.initializing = missing
        draft.records.append(records.state_partitions_record(group.group_id, book.begun(missing, names)))
