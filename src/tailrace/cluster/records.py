"""The facts of a cluster, one record each, and their text form in a metadata store.

The metadata of a cluster is the ordered replay of these records (`image.MetadataImage.replay`). In a store each is one
JSON object, `{"type": "topic", "name": "a", "topic_id": "…"}`; field names are the class's. A reader refuses a type or
a field it does not know rather than guess: it was written by a later version.
Source: Kafka's metadata records (RegisterBrokerRecord, TopicRecord, PartitionRecord, ConfigRecord, ProducerIdsRecord).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from enum import IntEnum
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

from tailrace.base.errors import TailraceError


class ResourceType(IntEnum):
    """What a setting is set on; int8 on the wire. Source: Kafka ConfigResource.Type."""

    TOPIC = 2
    BROKER = 4
    BROKER_LOGGER = 8
    CLIENT_METRICS = 16
    GROUP = 32


class ClusterRecord(NamedTuple):
    """The cluster's id, written once, when its metadata is first opened."""

    cluster_id: str


class BrokerRecord(NamedTuple):
    """A broker is registered, or its address, rack or log directories changed.

    Empty host: advertise what the client dialled. `directories`: (id, path) of each log directory that may hold
    partitions of this broker, so that one that is missing is missed (KIP-858). `incarnation_id`: of a broker in a
    cluster, the process; another one is another life of the broker, which begins fenced, with a new epoch.
    """

    broker_id: int
    host: str
    port: int
    rack: str | None
    directories: tuple[tuple[str, str], ...] = ()
    incarnation_id: str = ""


class BrokerStateRecord(NamedTuple):
    """What a broker of this epoch may do: fenced, it leads nothing and is in sync with nothing, for it is not heard of;
    shutting down, it hands over what it leads. Source: Kafka BrokerRegistrationChangeRecord.
    """

    broker_id: int
    epoch: int
    is_fenced: bool
    is_shutting_down: bool = False


class RemoveBrokerRecord(NamedTuple):
    """A broker is no more. Partitions may name it still."""

    broker_id: int


class DepartedRecord(NamedTuple):
    """Replicas that a broker held, and shall delete when it sees this: theirs are no topics and partitions of it any
    more. All of them; those noted before are forgotten. Written into snapshots alone.
    """

    broker_id: int
    replicas: tuple[tuple[UUID, int], ...]
    """(topic id, partition)."""


class ControllerRecord(NamedTuple):
    """A broker, in this life, settles from here on what brokers that are gone leave behind. Epochs rise by one."""

    broker_id: int
    epoch: int
    incarnation_id: str


class TopicRecord(NamedTuple):
    """A topic exists. Its partitions follow."""

    name: str
    topic_id: UUID


class PartitionRecord(NamedTuple):
    """A partition exists, or its leader or replicas changed. `leader` is -1 when there is none.

    `elr`: replicas that left the in-sync ones and yet hold every committed record (KIP-966). `last_known_leader`: who
    led last, told while nobody may lead; else -1. `is_recovering`: the leader was elected uncleanly and has not
    mended what it leads yet (KIP-704). `adding_replicas`, `removing_replicas`: on their way in and out, while the
    partition is moved (KIP-455); both are among the replicas.
    """

    topic_id: UUID
    partition: int
    leader: int
    leader_epoch: int
    replicas: tuple[int, ...]
    isr: tuple[int, ...]
    partition_epoch: int
    elr: tuple[int, ...] = ()
    last_known_leader: int = -1
    is_recovering: bool = False
    adding_replicas: tuple[int, ...] = ()
    removing_replicas: tuple[int, ...] = ()


class RemoveTopicRecord(NamedTuple):
    """A topic, its partitions and its settings are gone."""

    topic_id: UUID


class ConfigRecord(NamedTuple):
    """A setting is set on a resource; None removes it. Broker "" means every broker."""

    resource_type: int
    resource_name: str
    name: str
    value: str | None


class ProducerIdsRecord(NamedTuple):
    """A broker owns every producer id below `next_producer_id` that nobody owned before."""

    broker_id: int
    next_producer_id: int


Record: TypeAlias = (
    ClusterRecord
    | BrokerRecord
    | BrokerStateRecord
    | RemoveBrokerRecord
    | DepartedRecord
    | ControllerRecord
    | TopicRecord
    | PartitionRecord
    | RemoveTopicRecord
    | ConfigRecord
    | ProducerIdsRecord
)

_TYPES: Final[dict[str, Callable[..., Record]]] = {
    "cluster": ClusterRecord,
    "broker": BrokerRecord,
    "broker_state": BrokerStateRecord,
    "remove_broker": RemoveBrokerRecord,
    "departed": DepartedRecord,
    "controller": ControllerRecord,
    "topic": TopicRecord,
    "partition": PartitionRecord,
    "remove_topic": RemoveTopicRecord,
    "config": ConfigRecord,
    "producer_ids": ProducerIdsRecord,
}
_NAMES: Final = {kind: name for name, kind in _TYPES.items()}
_FROM_JSON: Final[dict[str, Callable[[Any], object]]] = {
    "topic_id": UUID,
    "replicas": lambda rows: tuple(row if isinstance(row, int) else (UUID(row[0]), row[1]) for row in rows),
    "isr": tuple,
    "elr": tuple,
    "adding_replicas": tuple,
    "removing_replicas": tuple,
    "directories": lambda rows: tuple(tuple(row) for row in rows),
}


def encode_records(records: Sequence[Record]) -> str:
    """The text of a batch of records: a JSON array. Fields that have a default are told where they differ from it."""
    rows = [{"type": _NAMES[type(record)], **_told(record)} for record in records]
    return json.dumps(rows, separators=(",", ":"), default=str)


def _told(record: Record) -> dict[str, object]:
    defaults = record._field_defaults
    fields = record._asdict()
    return {name: value for name, value in fields.items() if name not in defaults or value != defaults[name]}


def decode_records(text: str) -> list[Record]:
    """The records of a batch. TailraceError for a type or a field that this version does not know."""
    records = []
    for row in json.loads(text):
        kind = row.pop("type", None)
        for field, convert in _FROM_JSON.items():
            if field in row:
                row[field] = convert(row[field])
        try:
            records.append(_TYPES[kind](**row))
        except (KeyError, TypeError) as error:
            raise TailraceError(f"the metadata holds a record {kind!r} that this version does not know") from error
    return records
