"""What the controller decides about topics and producer ids: from an image and a wish, records or a refusal.

Pure: nothing changes until the records are committed and replayed (`metadata.Metadata`). A refusal is a KafkaError with
Kafka's code and message. One request may carry several wishes; each is decided against the image and the wishes granted
before it, and one refusal does not touch the others.
Not its business: settings (`config_changes`), who may ask, the wire.
Source: Kafka ReplicationControlManager, ProducerIdControlManager.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple
from uuid import UUID

from tailrace.base.errors import ConfigError, ErrorCode, KafkaError
from tailrace.cluster.elections import active_epoch
from tailrace.cluster.image import MetadataImage, TopicImage
from tailrace.cluster.placement import Placing, UsableBroker, check_assignment, place_replicas
from tailrace.cluster.records import (
    ConfigRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    RemoveTopicRecord,
    ResourceType,
    TopicRecord,
)
from tailrace.cluster.topic_configs import check_topic_configs
from tailrace.cluster.topic_names import check_topic_name, unified_name

PARTITIONS_PER_REQUEST_MAX: Final = 10_000
"""Most partitions one request may create. Kafka's bound: it keeps one request from filling the metadata log."""

PRODUCER_ID_BLOCK_SIZE: Final = 1000
"""Producer ids a broker takes at a time, so that handing one out needs no commit. Source: Kafka ProducerIdsBlock."""


class TopicWish(NamedTuple):
    """A topic somebody asks for. -1 partitions or replicas: the broker's default; `assignments`: by hand instead."""

    name: str
    partition_count: int = -1
    replication_factor: int = -1
    assignments: Mapping[int, Sequence[int]] | None = None
    configs: Mapping[str, str | None] | None = None


class TopicDefaults(NamedTuple):
    """What -1 stands for: `num.partitions`, `default.replication.factor`."""

    partition_count: int
    replication_factor: int


class Decision(NamedTuple):
    """What became of each wish, by name."""

    granted: dict[str, list[Record]]
    """The records that make it true."""
    refused: dict[str, KafkaError]

    @property
    def records(self) -> list[Record]:
        """Everything to commit."""
        return [record for records in self.granted.values() for record in records]


def decide_create_topics(
    image: MetadataImage, wishes: Sequence[TopicWish], defaults: TopicDefaults, new_id: Callable[[], UUID]
) -> Decision:
    """Create each wished topic with its partitions and settings. Names are distinct (the caller refuses duplicates)."""
    decision = Decision({}, {})
    unified: dict[str, str] = {}
    partitions_left = PARTITIONS_PER_REQUEST_MAX
    for wish in wishes:
        try:
            created = _create_topic(image, unified, wish, defaults, new_id)
            count = sum(isinstance(record, PartitionRecord) for record in created)
            if count > partitions_left:
                message = "Excessively large number of partitions per request."
                raise KafkaError(ErrorCode.POLICY_VIOLATION, message)
        except KafkaError as error:
            decision.refused[wish.name] = error
        else:
            partitions_left -= count
            unified[unified_name(wish.name)] = wish.name
            decision.granted[wish.name] = created
    return decision


def _create_topic(
    image: MetadataImage,
    unified: Mapping[str, str],
    wish: TopicWish,
    defaults: TopicDefaults,
    new_id: Callable[[], UUID],
) -> list[Record]:
    check_topic_name(wish.name)
    if wish.name in image.topics:
        raise KafkaError(ErrorCode.TOPIC_ALREADY_EXISTS, f"Topic '{wish.name}' already exists.")
    collision = image.colliding_topic(wish.name) or unified.get(unified_name(wish.name))
    if collision is not None:
        message = f"Topic '{wish.name}' collides with existing topic: {collision}"
        raise KafkaError(ErrorCode.INVALID_TOPIC_EXCEPTION, message)
    try:
        configs = check_topic_configs(wish.configs or {})
    except ConfigError as error:
        raise KafkaError(ErrorCode.INVALID_CONFIG, str(error)) from error
    topic_id = new_id()
    records: list[Record] = [TopicRecord(wish.name, topic_id)]
    if wish.assignments:
        replicas_of = _assigned_replicas(image, wish)
        records += (_assigned(image, topic_id, index, replicas) for index, replicas in enumerate(replicas_of))
    else:
        replicas_of = _placed_replicas(image, wish, defaults)
        records += (_placed(image, topic_id, index, replicas) for index, replicas in enumerate(replicas_of))
    records += (ConfigRecord(ResourceType.TOPIC, wish.name, name, value) for name, value in configs.items())
    return records


def _assigned(image: MetadataImage, topic_id: UUID, index: int, replicas: tuple[int, ...]) -> PartitionRecord:
    """A partition on brokers that were named by hand."""
    message = (
        f"All brokers specified in the manual partition assignment for partition {index} are fenced or in "
        "controlled shutdown."
    )
    return _partition(image, topic_id, index, replicas, KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message))


def _placed(image: MetadataImage, topic_id: UUID, index: int, replicas: tuple[int, ...]) -> PartitionRecord:
    message = (
        f"Unable to replicate the partition {len(replicas)} time(s): All brokers are currently fenced or in "
        "controlled shutdown."
    )
    return _partition(image, topic_id, index, replicas, KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, message))


def _partition(
    image: MetadataImage, topic_id: UUID, index: int, replicas: tuple[int, ...], none_is_active: KafkaError
) -> PartitionRecord:
    """A new partition: its active brokers are in sync, and the first of them leads."""
    isr = _active(image, replicas)
    if not isr:
        raise none_is_active
    return PartitionRecord(topic_id, index, isr[0], 0, replicas, isr, 0)


def _active(image: MetadataImage, replicas: Sequence[int]) -> tuple[int, ...]:
    """Those that may be in sync from the beginning."""
    return tuple(each for each in replicas if active_epoch(image, each) is not None)


def _usable(image: MetadataImage) -> list[UsableBroker]:
    return [UsableBroker(each.broker_id, each.rack, image.is_fenced(each.broker_id)) for each in image.brokers.values()]


def _assigned_replicas(image: MetadataImage, wish: TopicWish) -> list[tuple[int, ...]]:
    assignments = wish.assignments
    assert assignments is not None
    if wish.replication_factor != -1:
        message = "A manual partition assignment was specified, but replication factor was not set to -1."
        raise KafkaError(ErrorCode.INVALID_REQUEST, message)
    if wish.partition_count != -1:
        message = "A manual partition assignment was specified, but numPartitions was not set to -1."
        raise KafkaError(ErrorCode.INVALID_REQUEST, message)
    if sorted(assignments) != list(range(len(assignments))):
        message = "partitions should be a consecutive 0-based integer sequence"
        raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)
    brokers = list(image.brokers)
    for index in range(len(assignments)):
        check_assignment(assignments[index], brokers)
        if len(assignments[index]) != len(assignments[0]):
            message = (
                f"The manual partition assignment includes a partition with {len(assignments[index])} replica(s), "
                f"but this is not consistent with previous partitions, which have {len(assignments[0])} replica(s)."
            )
            raise KafkaError(ErrorCode.INVALID_REPLICA_ASSIGNMENT, message)
    return [tuple(assignments[index]) for index in range(len(assignments))]


def _placed_replicas(image: MetadataImage, wish: TopicWish, defaults: TopicDefaults) -> list[tuple[int, ...]]:
    if wish.replication_factor < -1 or wish.replication_factor == 0:
        message = "Replication factor must be larger than 0, or -1 to use the default value."
        raise KafkaError(ErrorCode.INVALID_REPLICATION_FACTOR, message)
    if wish.partition_count < -1 or wish.partition_count == 0:
        message = "Number of partitions was set to an invalid non-positive value."
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, message)
    count = defaults.partition_count if wish.partition_count == -1 else wish.partition_count
    factor = defaults.replication_factor if wish.replication_factor == -1 else wish.replication_factor
    if count > PARTITIONS_PER_REQUEST_MAX:
        raise KafkaError(ErrorCode.POLICY_VIOLATION, "Excessively large number of partitions per request.")
    return place_replicas(Placing(wish.name, 0, count, factor), _usable(image))


def decide_delete_topic(image: MetadataImage, topic: TopicImage) -> list[Record]:
    """Remove `topic`, its partitions and settings."""
    assert image.topic_by_id(topic.topic_id) is topic
    return [RemoveTopicRecord(topic.topic_id)]


def decide_create_partitions(
    image: MetadataImage, name: str, count: int, assignments: Sequence[Sequence[int]] | None
) -> list[Record]:
    """Grow topic `name` to `count` partitions. `assignments`: the replicas of each added one, or None to place them."""
    topic = image.topic(name)
    if topic is None:
        raise KafkaError(ErrorCode.UNKNOWN_TOPIC_OR_PARTITION)
    existing = len(topic.partitions)
    if count == existing:
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, f"Topic already has {existing} partition(s).")
    if count < existing:
        message = f"The topic {name} currently has {existing} partition(s); {count} would not be an increase."
        raise KafkaError(ErrorCode.INVALID_PARTITIONS, message)
    added = count - existing
    if added > PARTITIONS_PER_REQUEST_MAX:
        raise KafkaError(ErrorCode.POLICY_VIOLATION, "Excessively large number of partitions per request.")
    if assignments is None:
        factor = len(topic.partitions[0].target_replicas)
        placed = place_replicas(Placing(name, existing, added, factor), _usable(image))
        return [_placed(image, topic.topic_id, index, each) for index, each in enumerate(placed, existing)]
    assigned = _assigned_additions(image, topic, added, assignments)
    return [_assigned(image, topic.topic_id, index, each) for index, each in enumerate(assigned, existing)]


def _assigned_additions(
    image: MetadataImage, topic: TopicImage, added: int, assignments: Sequence[Sequence[int]]
) -> list[tuple[int, ...]]:
    code = ErrorCode.INVALID_REPLICA_ASSIGNMENT
    if len(assignments) != added:
        message = (
            f"Attempted to add {added} additional partition(s), "
            f"but only {len(assignments)} assignment(s) were specified."
        )
        raise KafkaError(code, message)
    factor = len(topic.partitions[0].target_replicas)
    brokers = list(image.brokers)
    for replicas in assignments:
        check_assignment(replicas, brokers)
        if len(replicas) != factor:
            message = (
                f"The manual partition assignment includes a partition with {len(replicas)} replica(s), "
                f"but this is not consistent with previous partitions, which have {factor} replica(s)."
            )
            raise KafkaError(code, message)
    return [tuple(replicas) for replicas in assignments]


def decide_auto_create(
    image: MetadataImage, wish: TopicWish, defaults: TopicDefaults, new_id: Callable[[], UUID]
) -> list[Record]:
    """Create a topic that a client named without creating it. Raises KafkaError as CreateTopics would refuse it."""
    decision = decide_create_topics(image, [wish], defaults, new_id)
    for error in decision.refused.values():
        raise error
    return decision.records


def decide_producer_id_block(image: MetadataImage, broker_id: int) -> tuple[int, list[Record]]:
    """The first id of a block of PRODUCER_ID_BLOCK_SIZE for `broker_id`, and the records that make it the owner."""
    first = image.next_producer_id
    if first > 2**63 - 1 - PRODUCER_ID_BLOCK_SIZE:
        raise KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, "Exhausted all producer ids.")
    return first, [ProducerIdsRecord(broker_id, first + PRODUCER_ID_BLOCK_SIZE)]
