"""ShareGroupDescribe: a group's epochs, members, and what they may consume. Source: KIP-932."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from tailrace.base.errors import ErrorCode
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.share_groups.group import ShareGroup
from tailrace.coordinator.share_groups.member import Place, ShareMember
from tailrace.coordinator.share_groups.records import by_topic
from tailrace.wire.messages.share_group_describe import Assignment, DescribedGroup, Member, TopicPartitions

ASSIGNOR: Final = "simple"


def described(group: ShareGroup, image: MetadataImage) -> DescribedGroup:
    """One group as it is at this moment."""
    return DescribedGroup(
        group_id=group.group_id,
        group_state=group.state,
        group_epoch=group.epoch,
        assignment_epoch=group.target_epoch,
        assignor_name=ASSIGNOR,
        members=[_member(member, image) for member in group.members.values()],
    )


def refused_description(group_id: str, code: ErrorCode, message: str | None = None) -> DescribedGroup:
    """One group of which nothing can be told."""
    return DescribedGroup(error_code=code, error_message=message, group_id=group_id)


def _member(member: ShareMember, image: MetadataImage) -> Member:
    return Member(
        member_id=member.member_id,
        rack_id=member.rack_id,
        member_epoch=member.epoch,
        client_id=member.client_id,
        client_host=member.client_host,
        subscribed_topic_names=list(member.subscribed_topics),
        assignment=_named(member.assigned, image),
    )


def _named(places: Iterable[Place], image: MetadataImage) -> Assignment:
    """Partitions by topic; a topic that is gone has no name and is left out, as in Kafka."""
    found = [(image.topic_by_id(topic_id), indexes) for topic_id, indexes in by_topic(places).items()]
    return Assignment(
        [TopicPartitions(topic.topic_id, topic.name, indexes) for topic, indexes in found if topic is not None]
    )
