"""The consumer protocol inside classic requests: what a classic member subscribes to, owns and is given.

    subscription, assignment   | version i16 | fields |    a version newer than ours has our fields first

Topics have names here and ids in a consumer group; those that do not exist are left out.
Source: Kafka's `ConsumerProtocol`, `ModernGroup.toTopicPartitionMap`.
"""

from __future__ import annotations

from collections.abc import Iterable
from struct import Struct
from typing import Protocol

from tailrace.cluster.image import MetadataImage
from tailrace.coordinator.consumer_groups.member import Place
from tailrace.coordinator.consumer_groups.records import by_topic
from tailrace.wire.messages.consumer_protocol_assignment import ConsumerProtocolAssignment, TopicPartition
from tailrace.wire.messages.consumer_protocol_subscription import ConsumerProtocolSubscription
from tailrace.wire.primitives import DecodeError, StructError

_INT16 = Struct(">h")


class _Named(Protocol):
    """Partitions of a topic by its name."""

    topic: str
    partitions: list[int]


def read_subscription(data: bytes) -> ConsumerProtocolSubscription:
    """What a member sent of itself. Raises DecodeError."""
    version = min(_version(data), ConsumerProtocolSubscription.MAX_VERSION)
    try:
        return ConsumerProtocolSubscription.decode(memoryview(data), 2, version)[0]
    except (StructError, IndexError) as error:
        raise DecodeError(f"a subscription ends too early: {error}") from error


def read_assignment(data: bytes) -> ConsumerProtocolAssignment:
    """What a member was given by its group's leader; nothing at all when it never was. Raises DecodeError."""
    if not data:
        return ConsumerProtocolAssignment()
    version = min(_version(data), ConsumerProtocolAssignment.MAX_VERSION)
    try:
        return ConsumerProtocolAssignment.decode(memoryview(data), 2, version)[0]
    except (StructError, IndexError) as error:
        raise DecodeError(f"an assignment ends too early: {error}") from error


def write_assignment(places: Iterable[Place], image: MetadataImage, subscription: bytes) -> bytes:
    """An assignment in the version that the member's subscription has."""
    named = [(image.topic_by_id(topic_id), indexes) for topic_id, indexes in by_topic(places)]
    given = [TopicPartition(topic.name, indexes) for topic, indexes in named if topic is not None]
    version = min(_version(subscription), ConsumerProtocolAssignment.MAX_VERSION)
    out = bytearray(_INT16.pack(version))
    ConsumerProtocolAssignment(given).encode(out, version)
    return bytes(out)


def places_of(named: Iterable[_Named], image: MetadataImage) -> frozenset[Place]:
    """Partitions by their topics' ids."""
    topics = [(image.topic(each.topic), each.partitions) for each in named]
    return frozenset((topic.topic_id, index) for topic, indexes in topics if topic is not None for index in indexes)


def _version(data: bytes) -> int:
    try:
        (version,) = _INT16.unpack_from(data)
    except StructError as error:
        raise DecodeError("not the consumer protocol: no version") from error
    if version < 0:
        raise DecodeError(f"not the consumer protocol: version {version}")
    return int(version)
