"""ConsumerGroupDescribe: a group's epochs, members, and what they own and are to own. Source: KIP-848, KIP-1099."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tailrace.base.errors import ErrorCode
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups.group import NOTHING, ConsumerGroup
from tailrace.coordinator.consumer_groups.member import ConsumerMember, Place
from tailrace.coordinator.consumer_groups.records import by_topic
from tailrace.wire.messages.consumer_group_describe import Assignment, DescribedGroup, Member, TopicPartitions

_CLASSIC_MEMBER: Final = 0
_CONSUMER_MEMBER: Final = 1


def described(group: ConsumerGroup, image: MetadataImage, default_assignor: str) -> DescribedGroup:
    """One group as it is at this moment."""
    return DescribedGroup(
        group_id=group.group_id,
        group_state=group.state,
        group_epoch=group.epoch,
        assignment_epoch=group.target_epoch,
        assignor_name=group.assignor(default_assignor),
        members=[
            _member(member, group.targets.get(member.member_id, NOTHING), image) for member in group.members.values()
        ],
    )


def refused_description(group_id: str, code: ErrorCode, message: str | None = None) -> DescribedGroup:
    """One group of which nothing can be told."""
    return DescribedGroup(error_code=code, error_message=message, group_id=group_id)


def _member(member: ConsumerMember, target: frozenset[Place], image: MetadataImage) -> Member:
    return Member(
        member_id=member.member_id,
        instance_id=member.instance_id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=list(member.subscribed_topics),
        subscribed_topic_regex=member.subscribed_regex,
        assignment=_named((*member.assigned, *member.pending_revocation), image),
        target_assignment=_named(target, image),
        member_type=_CONSUMER_MEMBER if member.classic is None else _CLASSIC_MEMBER,
    )


def _named(places: Iterable[Place], image: MetadataImage) -> Assignment:
    """Partitions by topic; a topic that is gone has no name and is left out, as in Kafka."""
    found = [(image.topic_by_id(topic_id), indexes) for topic_id, indexes in by_topic(places)]
    return Assignment(
        [TopicPartitions(topic.topic_id, topic.name, indexes) for topic, indexes in found if topic is not None]
    )
