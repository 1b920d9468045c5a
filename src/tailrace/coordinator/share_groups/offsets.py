"""AlterShareGroupOffsets and DeleteShareGroupOffsets of a group without members: what is to change, and the answer.

Both write down in the group's book what is about to happen, then have the share coordinator do it, then write down that
it was done. Pure. Source: Kafka's `GroupMetadataManager`, KIP-932.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple
from uuid import UUID

from tailrace.base.errors import ErrorCode
from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.share_groups.member import Place
from tailrace.coordinator.share_groups.state_partitions import StatePartitions, TopicPartitions
from tailrace.wire.messages.alter_share_group_offsets import (
    AlterShareGroupOffsetsRequest,
    AlterShareGroupOffsetsRequestTopic,
    AlterShareGroupOffsetsResponse,
    AlterShareGroupOffsetsResponsePartition,
    AlterShareGroupOffsetsResponseTopic,
)
from tailrace.wire.messages.delete_share_group_offsets import (
    DeleteShareGroupOffsetsRequest,
    DeleteShareGroupOffsetsResponseTopic,
)

_UNKNOWN = "This server does not host this topic-partition."


class Alteration(NamedTuple):
    """Start offsets that a group is given."""

    book: StatePartitions
    starts: Mapping[Place, int]
    response: AlterShareGroupOffsetsResponse
    """The answer when all of it works."""


def alteration(image: MetadataImage, book: StatePartitions, request: AlterShareGroupOffsetsRequest) -> Alteration:
    """What a request changes; partitions that do not exist are answered for themselves."""
    starts: dict[Place, int] = {}
    names: dict[UUID, str] = {}
    response = AlterShareGroupOffsetsResponse()
    for asked in request.topics:
        topic = image.topic(asked.topic_name)
        count = 0 if topic is None else len(topic.partitions)
        answered = AlterShareGroupOffsetsResponseTopic(asked.topic_name)
        if topic is not None:
            answered.topic_id = topic.topic_id
            names[topic.topic_id] = topic.name
            starts.update(
                ((topic.topic_id, one.partition_index), one.start_offset)
                for one in asked.partitions
                if 0 <= one.partition_index < count
            )
        answered.partitions = _answers(asked, count)
        response.responses.append(answered)
    return Alteration(book.begun(grouped(starts), names), starts, response)


def _answers(asked: AlterShareGroupOffsetsRequestTopic, count: int) -> list[AlterShareGroupOffsetsResponsePartition]:
    found = []
    for one in asked.partitions:
        index = one.partition_index
        if 0 <= index < count:
            found.append(AlterShareGroupOffsetsResponsePartition(index))
        else:
            code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
            found.append(AlterShareGroupOffsetsResponsePartition(index, code, _UNKNOWN))
    return found


def say_failures(response: AlterShareGroupOffsetsResponse, failures: Mapping[Place, ErrorCode]) -> None:
    """Put into the answer which partitions' states could not be made."""
    for topic in response.responses:
        for partition in topic.partitions:
            code = failures.get((topic.topic_id, partition.partition_index))
            if code is not None:
                partition.error_code, partition.error_message = code, f"The state could not be made: {code.name}."


class Deletion(NamedTuple):
    """Topics whose offsets a group is to forget."""

    book: StatePartitions
    places: frozenset[Place]
    refused: list[DeleteShareGroupOffsetsResponseTopic]


def deletion(image: MetadataImage, book: StatePartitions, request: DeleteShareGroupOffsetsRequest) -> Deletion:
    """What a request deletes; topics of which there is nothing are answered for themselves."""
    places: set[Place] = set()
    refused = []
    for asked in request.topics:
        topic = image.topic(asked.topic_name)
        code = ErrorCode.UNKNOWN_TOPIC_OR_PARTITION
        if topic is None:
            refused.append(
                DeleteShareGroupOffsetsResponseTopic(asked.topic_name, error_code=code, error_message=_UNKNOWN)
            )
        elif topic.topic_id in book.initialized:
            places.update((topic.topic_id, index) for index in book.initialized[topic.topic_id])
        elif topic.topic_id in book.deleting:
            places.update((topic.topic_id, index) for index in range(len(topic.partitions)))
        else:
            message = "There is no offset information to delete."
            refused.append(
                DeleteShareGroupOffsetsResponseTopic(asked.topic_name, error_code=code, error_message=message)
            )
    return Deletion(book.ended(topic for topic, _ in places), frozenset(places), refused)


def deleted_answers(
    image: MetadataImage, places: frozenset[Place], failures: Mapping[Place, ErrorCode]
) -> list[DeleteShareGroupOffsetsResponseTopic]:
    """Each topic that was to be deleted, with an error where one of its partitions' states is still there."""
    codes = dict.fromkeys(sorted(topic for topic, _ in places), ErrorCode.NONE)
    codes.update((topic, code) for (topic, _), code in failures.items())
    answers = []
    for topic_id, code in codes.items():
        topic = image.topic_by_id(topic_id)
        message = f"The state could not be deleted: {code.name}." if code else None
        answers.append(
            DeleteShareGroupOffsetsResponseTopic("" if topic is None else topic.name, topic_id, code, message)
        )
    return answers


def grouped(places: Mapping[Place, object] | frozenset[Place]) -> TopicPartitions:
    """Partitions by topic."""
    found: dict[UUID, set[int]] = {}
    for topic, index in places:
        found.setdefault(topic, set()).add(index)
    return {topic: frozenset(indexes) for topic, indexes in found.items()}
