"""A group with members changes its protocol: a rolling restart of its consumers does not stop it (KIP-848).

    classic ──a member of the consumer protocol joins──> consumer, its classic members live on in it
    classic <──the last member of the consumer protocol goes──

What a member owned it owns still. One batch holds the tombstones of what the group was and the records of what it is,
so a crash leaves it the one or the other. Which ways are open is `group.consumer.migration.policy`.
Not its business: what classic members of a consumer group are answered (`consumer_groups.classic_members`).
Source: Kafka's `GroupMetadataManager.convertToConsumerGroup` and `convertToClassicGroup`.
"""

from __future__ import annotations

from typing import Final

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups import records as consumer_records
from tailrace.coordinator.consumer_groups.draft import Draft
from tailrace.coordinator.consumer_groups.embedded import (
    places_of,
    read_assignment,
    read_subscription,
    write_assignment,
)
from tailrace.coordinator.consumer_groups.group import ConsumerGroup
from tailrace.coordinator.consumer_groups.member import ClassicSide, ConsumerMember, Place
from tailrace.coordinator.consumer_groups.protocol import Change
from tailrace.coordinator.consumer_groups.settings import ConsumerGroupSettings
from tailrace.coordinator.consumer_groups.topics import topics_hash
from tailrace.coordinator.groups.classic_group import ClassicGroup, refused_join
from tailrace.coordinator.groups.member import Member, most_wanted_protocol
from tailrace.coordinator.groups.records import group_record, group_tombstone
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.protocol_type import CONSUMER_PROTOCOL_TYPE
from tailrace.wire.group_records.group_metadata import GroupMetadataValue, MemberMetadata
from tailrace.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from tailrace.wire.messages.sync_group import SyncGroupResponse
from tailrace.wire.primitives import DecodeError

_CLIENTS_OWN_ASSIGNORS: Final = ("range", "roundrobin", "sticky", "cooperative-sticky")
"""Nobody reads the data of their assignments. librdkafka's cooperative-sticky repeats in it what the member told; Kafka
refuses to change the protocol of such a group."""


def upgrade(group: ClassicGroup, settings: ConsumerGroupSettings, image: MetadataImage) -> tuple[ConsumerGroup, Change]:
    """The consumer group that a classic group becomes, and its records. Raises GROUP_ID_NOT_FOUND when it cannot."""
    _check_upgrade(group, settings)
    made = ConsumerGroup(group.group_id)
    try:
        written = _upgraded(group, made, image)
    except DecodeError as error:
        raise _not_upgraded(group, f"the embedded consumer protocol is malformed: {error}") from error

    def follow() -> None:
        """Who waits in a join or a sync of the classic group is to join again."""
        for member in list(group.members.values()):
            group.answer_join(member, refused_join(ErrorCode.REBALANCE_IN_PROGRESS, member.member_id))
            group.answer_sync(member, SyncGroupResponse(error_code=ErrorCode.REBALANCE_IN_PROGRESS))

    return made, Change([group_tombstone(group.group_id), *written], follow)


def _check_upgrade(group: ClassicGroup, settings: ConsumerGroupSettings) -> None:
    if not settings.is_upgrade_enabled:
        raise _not_upgraded(group, "online upgrade is disabled")
    if group.protocol_type != CONSUMER_PROTOCOL_TYPE:
        raise _not_upgraded(group, "the group does not use the consumer embedded protocol")
    if len(group.members) > settings.group_consumer_max_size:
        raise _not_upgraded(group, "the group size exceeds the consumer group maximum size")


def _upgraded(group: ClassicGroup, made: ConsumerGroup, image: MetadataImage) -> list[CoordinatorRecord]:
    """Fill the new group by replaying its records, and return them."""
    group_id, epoch = group.group_id, group.generation
    members = [_to_consumer(member, epoch, group.protocol, image) for member in group.members.values()]
    written: list[CoordinatorRecord] = []

    def write(*records: CoordinatorRecord) -> None:
        for record in records:
            entry = consumer_records.read_consumer_record(record)
            assert entry is not None
            made.replay(entry)
        written.extend(records)

    write(*(consumer_records.member_record(group_id, member) for member in members))
    write(consumer_records.epoch_record(group_id, epoch, topics_hash(image, Draft(made))))
    taken: set[Place] = set()
    owned = []
    for member in members:
        # A leader's assignor may have given a partition twice; here it has one owner.
        own = {place: since for place, since in member.assigned.items() if place not in taken}
        taken |= own.keys()
        owned.append(member._replace(assigned=own))
        write(consumer_records.target_record(group_id, member.member_id, own))
    for member in owned:
        if member.member_id in group.pending_syncs:
            # It has not heard of its assignment: what it owned when it joined it consumes still, until it joins again.
            kept = places_of(_subscription(group.members[member.member_id], group.protocol).owned_partitions, image)
            more = dict.fromkeys(kept - taken, epoch)
            taken |= more.keys()
            member = member._replace(assigned={**member.assigned, **more})
        write(consumer_records.current_record(group_id, member))
    write(consumer_records.target_epoch_record(group_id, epoch, 0))
    return written


def _to_consumer(member: Member, epoch: int, protocol: str | None, image: MetadataImage) -> ConsumerMember:
    subscription = _subscription(member, protocol)
    assignment = read_assignment(member.assignment)
    if assignment.user_data and protocol not in _CLIENTS_OWN_ASSIGNORS:
        raise DecodeError("an assignment has data of its assignor, which would be lost")
    return ConsumerMember(
        member_id=member.member_id,
        instance_id=member.group_instance_id,
        rack_id=subscription.rack_id,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topics=tuple(sorted(set(subscription.topics))),
        rebalance_timeout_ms=member.rebalance_timeout_ms,
        epoch=epoch,
        previous_epoch=epoch,
        assigned=dict.fromkeys(places_of(assignment.assigned_partitions, image), epoch),
        classic=ClassicSide(member.session_timeout_ms, tuple(member.protocols)),
    )


def _subscription(member: Member, protocol: str | None) -> ConsumerProtocolSubscription:
    return read_subscription(member.metadata(protocol) or member.protocols[0][1])


def downgrade_records(
    members: list[ConsumerMember], draft: Draft, leader: str | None, image: MetadataImage, now_ms: int
) -> list[CoordinatorRecord]:
    """The group as a classic one of `members`, who all speak that protocol: each has what the draft means it to own.

    No `leader` says that what others owned is nobody's now: the members rebalance, after a crash as well.
    """
    group = draft.group
    protocol = most_wanted_protocol([member.classic.protocols for member in members if member.classic is not None])
    value = GroupMetadataValue(
        protocol_type=CONSUMER_PROTOCOL_TYPE,
        generation=draft.epoch,
        protocol=protocol,
        leader=leader,
        current_state_timestamp=now_ms,
        members=[_to_classic(member, protocol, draft, image) for member in members],
    )
    return [*group.tombstones(), group_record(group.group_id, value)]


def _to_classic(member: ConsumerMember, protocol: str, draft: Draft, image: MetadataImage) -> MemberMetadata:
    assert member.classic is not None
    subscription = dict(member.classic.protocols)[protocol]
    return MemberMetadata(
        member_id=member.member_id,
        group_instance_id=member.instance_id,
        client_id=member.client_id,
        client_host=member.client_host,
        rebalance_timeout=member.rebalance_timeout_ms,
        session_timeout=member.classic.session_timeout_ms,
        subscription=subscription,
        assignment=write_assignment(draft.target(member.member_id), image, subscription),
    )


def _not_upgraded(group: ClassicGroup, why: str) -> KafkaError:
    return KafkaError(
        ErrorCode.GROUP_ID_NOT_FOUND,
        f"Cannot upgrade classic group {group.group_id} to consumer group because {why}.",
    )
