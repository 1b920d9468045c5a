"""The cluster as it is: brokers, topics, partitions, settings, producer ids. The result of replaying records.

Invariants: a topic is found by name and by id, or by neither; partitions of a topic are 0..n-1 without a gap;
isr ⊆ replicas; elr ⊆ replicas, apart from isr; leader ∈ isr or -1; adding and removing replicas ⊆ replicas, apart;
`version` is that of the last replayed batch.
Changed by `replay` alone; everyone else reads. Readers on the same loop see whole batches, never half of one.
Not its business: whether a change is allowed (`controller`), what broker settings mean (`settings`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from uuid import UUID

from tailrace.base.types import TopicPartition
from tailrace.cluster.records import (
    BrokerRecord,
    BrokerStateRecord,
    ClusterRecord,
    ConfigRecord,
    ControllerRecord,
    DepartedRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    RemoveBrokerRecord,
    RemoveTopicRecord,
    ResourceType,
    TopicRecord,
)
from tailrace.cluster.topic_names import unified_name

GROUP_METADATA_TOPIC: Final = "__consumer_offsets"
TRANSACTION_STATE_TOPIC: Final = "__transaction_state"
SHARE_GROUP_STATE_TOPIC: Final = "__share_group_state"
INTERNAL_TOPICS: Final = frozenset({GROUP_METADATA_TOPIC, TRANSACTION_STATE_TOPIC, SHARE_GROUP_STATE_TOPIC})
"""Topics that Kafka calls internal. Source: Kafka Topic."""

DEPARTED_MAX: Final = 1000
"""Replicas that a broker which is heard of was told to delete are remembered for its next start, as many as this: it
may have died before it did. Of one that is not there all are."""

_NO_CONFIGS: Final[Mapping[str, str]] = {}


class PartitionImage(NamedTuple):
    """One partition: who holds it and who leads it."""

    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    partition_epoch: int
    elr: tuple[int, ...] = ()
    """Eligible leaders: replicas that left the in-sync ones while the high watermark could not move (KIP-966)."""
    last_known_leader: int = -1
    is_recovering: bool = False
    adding_replicas: tuple[int, ...] = ()
    """Replicas that are there since the partition is being moved, and are to stay (KIP-455)."""
    removing_replicas: tuple[int, ...] = ()
    """Replicas that go when those that are to stay are in sync."""

    @property
    def is_moving(self) -> bool:
        """Whether other replicas are wanted than those it has."""
        return bool(self.adding_replicas or self.removing_replicas)

    @property
    def target_replicas(self) -> tuple[int, ...]:
        """The replicas it has once it has moved."""
        return tuple(each for each in self.replicas if each not in self.removing_replicas)


class BrokerState(NamedTuple):
    """Of a broker in a cluster: the epoch of its present life, and what it may do (`BrokerStateRecord`)."""

    epoch: int
    is_fenced: bool
    is_shutting_down: bool = False


class ControllerImage(NamedTuple):
    """Who settles what brokers that are gone leave behind. Broker -1: nobody yet."""

    broker_id: int = -1
    epoch: int = 0
    incarnation_id: str = ""


class TopicImage:
    """One topic and its partitions, by index."""

    __slots__ = ("is_internal", "name", "partitions", "topic_id")

    def __init__(self, name: str, topic_id: UUID) -> None:
        self.name = name
        self.topic_id = topic_id
        self.is_internal = name in INTERNAL_TOPICS
        self.partitions: list[PartitionImage] = []


class ConfigResource(NamedTuple):
    """What settings are set on."""

    type: int
    name: str


class MetadataDelta:
    """What one batch of records changed, in the order it happened."""

    __slots__ = (
        "brokers_changed",
        "configs_changed",
        "partitions_added",
        "partitions_changed",
        "topics_created",
        "topics_deleted",
    )

    def __init__(self) -> None:
        self.topics_created: list[TopicImage] = []
        """Topics that exist since this batch, with all their partitions."""
        self.topics_deleted: list[TopicImage] = []
        """Topics as they were before they went."""
        self.partitions_added: list[TopicPartition] = []
        """Partitions that topics older than this batch gained. Those of `topics_created` are not repeated here."""
        self.partitions_changed: list[TopicPartition] = []
        """Partitions whose leader, replicas or in-sync replicas changed."""
        self.configs_changed: list[ConfigResource] = []
        """Resources with a setting changed, each once."""
        self.brokers_changed: list[int] = []


class MetadataImage:
    """The whole cluster at one version."""

    __slots__ = (
        "_configs",
        "_topics_by_id",
        "_unified_names",
        "broker_states",
        "brokers",
        "cluster_id",
        "controller",
        "departed",
        "next_producer_id",
        "topics",
        "version",
    )

    def __init__(self) -> None:
        self.version = 0
        self.cluster_id = ""
        self.brokers: dict[int, BrokerRecord] = {}
        self.broker_states: dict[int, BrokerState] = {}
        """Of the brokers of a cluster. A broker that is alone has none: it is there, or nobody is."""
        self.departed: dict[int, dict[tuple[UUID, int], None]] = {}
        """Of the brokers of a cluster: (topic id, partition) of replicas they held and hold no more, the oldest first,
        until they return. A log that is found at a start is deleted for this alone."""
        self.controller = ControllerImage()
        self.topics: dict[str, TopicImage] = {}
        self.next_producer_id = 0
        """Lowest producer id that no broker owns."""
        self._topics_by_id: dict[UUID, TopicImage] = {}
        self._unified_names: dict[str, str] = {}
        """Unified name -> the topic that has it; one at most, for the controller refuses collisions."""
        self._configs: dict[ConfigResource, dict[str, str]] = {}

    def is_fenced(self, broker_id: int) -> bool:
        """Whether a registered broker is not heard of, or not ready yet."""
        state = self.broker_states.get(broker_id)
        return state is not None and state.is_fenced

    @property
    def live_brokers(self) -> list[int]:
        """The brokers that are registered and not fenced: clients are told of them, new partitions are placed there."""
        return [broker_id for broker_id in self.brokers if not self.is_fenced(broker_id)]

    def topic(self, name: str) -> TopicImage | None:
        """The topic of this name, or None."""
        return self.topics.get(name)

    def topic_by_id(self, topic_id: UUID) -> TopicImage | None:
        """The topic with this id, or None."""
        return self._topics_by_id.get(topic_id)

    def colliding_topic(self, name: str) -> str | None:
        """Another topic whose name collides with `name`, or None."""
        other = self._unified_names.get(unified_name(name))
        return None if other == name else other

    def partition(self, topic: str, partition: int) -> PartitionImage | None:
        """One partition, or None when the topic or the partition does not exist."""
        found = self.topics.get(topic)
        if found is None or not 0 <= partition < len(found.partitions):
            return None
        return found.partitions[partition]

    def configs(self, resource_type: int, resource_name: str) -> Mapping[str, str]:
        """Settings set on one resource, as text. Defaults are not in it."""
        return self._configs.get(ConfigResource(resource_type, resource_name), _NO_CONFIGS)

    def resources_with_configs(self, resource_type: int) -> list[str]:
        """Names of the resources of this type that have any setting set."""
        return [resource.name for resource in self._configs if resource.type == resource_type]

    def every_config(self) -> Mapping[ConfigResource, Mapping[str, str]]:
        """Every resource that has any setting set, with those."""
        return self._configs

    def topic_of(self, resource: ConfigResource) -> UUID | None:
        """The topic whose settings a resource names, by id; None for another kind of resource, or no such topic."""
        found = self.topics.get(resource.name) if resource.type == ResourceType.TOPIC else None
        return None if found is None else found.topic_id

    def replay(self, records: Iterable[Record], version: int) -> MetadataDelta:
        """Apply one committed batch, whole. Returns what it changed."""
        delta = MetadataDelta()
        for record in records:
            match record:
                case PartitionRecord():
                    self._replay_partition(record, delta)
                case TopicRecord():
                    topic = TopicImage(record.name, record.topic_id)
                    assert record.name not in self.topics, record
                    self.topics[record.name] = self._topics_by_id[record.topic_id] = topic
                    self._unified_names[unified_name(record.name)] = record.name
                    delta.topics_created.append(topic)
                case RemoveTopicRecord():
                    self._replay_remove_topic(record, delta)
                case ConfigRecord():
                    self._replay_config(record, delta)
                case BrokerRecord():
                    self._replay_broker(record, version)
                    delta.brokers_changed.append(record.broker_id)
                case BrokerStateRecord():
                    if self.is_fenced(record.broker_id) and not record.is_fenced:
                        self.departed.pop(record.broker_id, None)  # it has seen them
                    self.broker_states[record.broker_id] = BrokerState(*record[1:])
                    delta.brokers_changed.append(record.broker_id)
                case RemoveBrokerRecord():
                    for of_brokers in (self.brokers, self.broker_states, self.departed):
                        of_brokers.pop(record.broker_id, None)
                    delta.brokers_changed.append(record.broker_id)
                case DepartedRecord():
                    self.departed.pop(record.broker_id, None)
                    if record.replicas:
                        self.departed[record.broker_id] = dict.fromkeys(record.replicas)
                case ControllerRecord():
                    self.controller = ControllerImage(*record)
                case ProducerIdsRecord():
                    self.next_producer_id = record.next_producer_id
                case ClusterRecord():
                    self.cluster_id = record.cluster_id
        self.version = version
        return delta

    def _replay_broker(self, record: BrokerRecord, version: int) -> None:
        known = self.brokers.get(record.broker_id)
        self.brokers[record.broker_id] = record
        if not record.incarnation_id:
            self.broker_states.pop(record.broker_id, None)
        elif known is None or known.incarnation_id != record.incarnation_id:
            self.broker_states[record.broker_id] = BrokerState(version, is_fenced=True)

    def _replay_partition(self, record: PartitionRecord, delta: MetadataDelta) -> None:
        topic = self._topics_by_id[record.topic_id]
        image = PartitionImage(*record[2:])
        if record.partition < len(topic.partitions):
            before = topic.partitions[record.partition]
            if before.replicas != image.replicas:
                self._note_moved(topic.topic_id, record.partition, before, image)
            topic.partitions[record.partition] = image
            delta.partitions_changed.append(TopicPartition(topic.name, record.partition))
            return
        assert record.partition == len(topic.partitions), record
        topic.partitions.append(image)
        if topic not in delta.topics_created[-1:] and topic not in delta.topics_created:
            delta.partitions_added.append(TopicPartition(topic.name, record.partition))

    def _note_moved(self, topic_id: UUID, index: int, before: PartitionImage, after: PartitionImage) -> None:
        for broker in after.replicas:
            departed = self.departed.get(broker, {})
            departed.pop((topic_id, index), None)
            if not departed:
                self.departed.pop(broker, None)
        for broker in before.replicas:
            if broker not in after.replicas:
                self._note_departed(broker, topic_id, index)

    def _note_departed(self, broker: int, topic_id: UUID, index: int) -> None:
        if broker not in self.broker_states:
            return
        departed = self.departed.setdefault(broker, {})
        departed[topic_id, index] = None
        if len(departed) > DEPARTED_MAX and not self.is_fenced(broker):
            del departed[next(iter(departed))]

    def _replay_remove_topic(self, record: RemoveTopicRecord, delta: MetadataDelta) -> None:
        topic = self._topics_by_id.pop(record.topic_id)
        if self.broker_states:
            for index, partition in enumerate(topic.partitions):
                for broker in partition.replicas:
                    self._note_departed(broker, record.topic_id, index)
        del self.topics[topic.name]
        self._unified_names.pop(unified_name(topic.name), None)
        self._configs.pop(ConfigResource(ResourceType.TOPIC, topic.name), None)
        if topic in delta.topics_created:
            delta.topics_created.remove(topic)
        else:
            delta.topics_deleted.append(topic)

    def _replay_config(self, record: ConfigRecord, delta: MetadataDelta) -> None:
        resource = ConfigResource(record.resource_type, record.resource_name)
        configs = self._configs.setdefault(resource, {})
        if record.value is None:
            configs.pop(record.name, None)
            if not configs:
                del self._configs[resource]
        else:
            configs[record.name] = record.value
        if resource not in delta.configs_changed:
            delta.configs_changed.append(resource)

    def records(self) -> list[Record]:
        """The shortest list of records that replays to this image."""
        records: list[Record] = [ClusterRecord(self.cluster_id), *self.brokers.values()]
        records += (BrokerStateRecord(broker_id, *state) for broker_id, state in self.broker_states.items())
        if self.controller.epoch:
            records.append(ControllerRecord(*self.controller))
        for topic in self.topics.values():
            records.append(TopicRecord(topic.name, topic.topic_id))
            records += (PartitionRecord(topic.topic_id, index, *image) for index, image in enumerate(topic.partitions))
        for resource, configs in self._configs.items():
            records += (ConfigRecord(*resource, name, value) for name, value in configs.items())
        records += (DepartedRecord(broker, tuple(replicas)) for broker, replicas in self.departed.items())
        if self.next_producer_id:
            records.append(ProducerIdsRecord(-1, self.next_producer_id))
        return records
