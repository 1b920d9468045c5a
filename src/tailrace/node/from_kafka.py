"""Taking over a data directory of Apache Kafka: what its metadata says becomes ours, the logs stay as they are.

Topics, partitions, ids, settings and the next producer id come from `__cluster_metadata-0`. Where there is none
(a directory of Kafka 3 with ZooKeeper, or logs that were copied alone) topics are those that have directories, with
the ids of their `partition.metadata`, and are kept for ever, because nobody knows what was to be deleted.

Invariant: the only file written is `metadata.db`, in one step; deleting it undoes the whole. Every partition begins a
new leader epoch. What cannot be carried over is said in `Adopted.notes`, or refused where records would be missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple
from uuid import UUID

from tailrace.base.disk import RealDisk
from tailrace.base.errors import ConfigError, KafkaError, TailraceError
from tailrace.base.rand import SystemRandom
from tailrace.base.types import ZERO_TOPIC_ID, TopicId, TopicPartition
from tailrace.cluster.broker_configs import BROKER_CONFIGS
from tailrace.cluster.image import INTERNAL_TOPICS
from tailrace.cluster.kafka_bootstrap import BOOTSTRAP_FILE, UNASSIGNED_DIRECTORY
from tailrace.cluster.kafka_metadata import KafkaMetadata, KafkaPartition, KafkaTopic
from tailrace.cluster.records import (
    ClusterRecord,
    ConfigRecord,
    PartitionRecord,
    ProducerIdsRecord,
    Record,
    ResourceType,
    TopicRecord,
)
from tailrace.cluster.settings import BrokerSettings
from tailrace.cluster.sqlite_store import SqliteStore
from tailrace.cluster.topic_configs import check_topic_configs
from tailrace.log import checkpoint, partition_metadata
from tailrace.log.filenames import LEADER_EPOCHS, LOG_SUFFIX, SNAPSHOT_SUFFIX, offset_of
from tailrace.log.partition_metadata import decode_topic_id
from tailrace.log.producer_snapshot import decode_snapshot
from tailrace.node.kafka_directory import (
    KAFKA_METADATA_DIRECTORY,
    METADATA_FILE,
    identities,
    locked,
    log_directories,
    metadata_directory,
    partitions_in,
)

_SNAPSHOT_SUFFIX = ".checkpoint"
_NAMED_MAX = 5
"""Partitions, directories or settings that one sentence names."""

_PRODUCER_ID_GAP = 1_000_000
"""How far above the highest producer id of the snapshots new ones begin, where Kafka's own count is not known."""


class Adopted(NamedTuple):
    """What became ours. `notes` are sentences about what did not, or not quite."""

    cluster_id: str
    node_id: int
    topic_count: int
    partition_count: int
    notes: list[str]


def from_kafka(settings: BrokerSettings, data_dir: Path) -> Adopted:
    """Write the metadata of the logs in `log.dirs` (or `data_dir`). Neither broker may run.

    Raises TailraceError, one sentence, when the directory is in use, is ours already, or lacks a partition it should
    have; nothing is written then.
    """
    log_dirs = log_directories(settings, data_dir)
    metadata_dir = metadata_directory(settings, log_dirs)
    with locked([*log_dirs, metadata_dir]):
        metas = identities(log_dirs)
        identity = metas[0]
        directories = partitions_in(log_dirs)
        notes: list[str] = []
        if (metadata_dir / KAFKA_METADATA_DIRECTORY).is_dir():
            kafka = _read(metadata_dir / KAFKA_METADATA_DIRECTORY)
            known = {decode_topic_id(meta.directory_id) for meta in metas if meta.directory_id}
            _check_present(kafka, directories, identity.node_id, known)
            _check_identity(kafka, directories, identity.node_id, notes)
        else:
            kafka = _guessed(directories, identity.node_id, notes)
        records = _records(kafka, directories, identity.node_id, notes)
        data_dir.mkdir(parents=True, exist_ok=True)
        _write(data_dir / METADATA_FILE, [ClusterRecord(identity.cluster_id), *records])
    partition_count = sum(isinstance(record, PartitionRecord) for record in records)
    return Adopted(identity.cluster_id, identity.node_id, len(kafka.topics), partition_count, notes)


def _write(path: Path, records: list[Record]) -> None:
    store = SqliteStore(path)
    try:
        version, known = store.load()
        if known:
            raise TailraceError(f"{path} has metadata already: this directory is Tailrace's")
        store.append(version, records)
    finally:
        store.close()


def _read(directory: Path) -> KafkaMetadata:
    """The newest snapshot and the log after it; what a controller would begin with where there is no log yet."""
    kafka = KafkaMetadata()
    try:
        names = sorted(path.name for path in directory.iterdir())
        snapshots = [name for name in names if name.endswith(_SNAPSHOT_SUFFIX) and name[:20].isdigit()]
        if snapshots:
            newest = snapshots[-1]
            kafka.replay_snapshot(memoryview((directory / newest).read_bytes()), int(newest[:20]))
        segments = [name for name in names if offset_of(name, LOG_SUFFIX) is not None]
        for name in segments:
            kafka.replay_log(memoryview((directory / name).read_bytes()))
        bootstrap = directory.with_name(BOOTSTRAP_FILE)
        if not kafka.next_offset and bootstrap.exists():  # a controller that never ran has not appended it yet
            kafka.replay_snapshot(memoryview(bootstrap.read_bytes()), 0)
    except OSError as error:
        raise TailraceError(f"cannot read Kafka's metadata in {directory}: {error.strerror}") from error
    return kafka


def _check_present(
    kafka: KafkaMetadata, directories: dict[TopicPartition, Path], node_id: int, log_dir_ids: set[UUID]
) -> None:
    """Refuse where a partition is not here, unless it was created a moment before the end and has nothing yet."""
    elsewhere, missing = [], []
    for topic in kafka.topics.values():
        for index, partition in topic.partitions.items():
            topic_partition = TopicPartition(topic.name, index)
            if topic_partition in directories:
                continue
            if node_id not in partition.replicas:
                elsewhere.append(str(topic_partition))
            elif partition.directory_on(node_id) not in (log_dir_ids | {UNASSIGNED_DIRECTORY}):
                missing.append(str(topic_partition))
    if elsewhere:
        raise TailraceError(
            f"this broker has no replica of {_some(elsewhere)}; move every partition to it, then try again"
        )
    if missing:
        raise TailraceError(
            f"there is no directory of {_some(missing)}; name every log directory in log.dirs, "
            "or make an empty one for a partition that never had a record"
        )


def _check_identity(
    kafka: KafkaMetadata, directories: dict[TopicPartition, Path], node_id: int, notes: list[str]
) -> None:
    """Refuse logs that are of another topic of the name; note what is left aside."""
    behind, strays = [], []
    by_name = {topic.name: topic for topic in kafka.topics.values()}
    for topic_partition, path in directories.items():
        topic = by_name.get(topic_partition.topic)
        partition = topic.partitions.get(topic_partition.partition) if topic is not None else None
        if topic is None or partition is None:
            strays.append(str(topic_partition))
            continue
        if node_id not in partition.isr:
            behind.append(str(topic_partition))
        if partition_metadata.read(RealDisk(), path) not in (topic.topic_id, ZERO_TOPIC_ID):
            raise TailraceError(f"{path} is of an older topic of the same name; move it away first")
    if behind:
        notes.append(f"The replica of {_some(behind)} was not in sync: its last records may be missing.")
    if strays:
        notes.append(f"Kafka knows no topic for {_some(strays)}: left as they are, not served.")
    notes.extend(f"{count} {what} are not carried over." for what, count in kafka.left_out.items())


def _guessed(directories: dict[TopicPartition, Path], node_id: int, notes: list[str]) -> KafkaMetadata:
    """Metadata made of the directories alone."""
    disk = RealDisk()
    kafka = KafkaMetadata()
    if not directories:
        raise TailraceError("there is neither a metadata log of Kafka nor a partition")
    random = SystemRandom()
    by_name: dict[str, KafkaTopic] = {}
    for (name, index), path in sorted(directories.items()):
        topic = by_name.setdefault(name, KafkaTopic(name, partition_metadata.read(disk, path), {}))
        if topic.topic_id == ZERO_TOPIC_ID:
            topic = by_name[name] = topic._replace(topic_id=random.uuid())
        if len(topic.partitions) != index:
            raise TailraceError(f"{name} has a partition {index} but no partition {len(topic.partitions)}")
        topic.partitions[index] = KafkaPartition((node_id,), (node_id,), node_id, 0, 0)
        newest = max((decode_snapshot(file.read_bytes()) or [] for file in path.glob(f"*{SNAPSHOT_SUFFIX}")), key=len,
                     default=[])  # fmt: skip
        for producer in newest:
            kafka.next_producer_id = max(kafka.next_producer_id, producer.producer_id + _PRODUCER_ID_GAP)
    for topic in by_name.values():
        kafka.topics[topic.topic_id] = topic
        is_internal = topic.name in INTERNAL_TOPICS
        kafka.configs[ResourceType.TOPIC, topic.name] = (
            {"cleanup.policy": "compact"} if is_internal else {"retention.ms": "-1"}
        )
    notes.append(
        "There is no metadata log of Kafka, so topics have no settings of their own but retention.ms=-1, "
        "which keeps everything; set what they should have."
    )
    return kafka


def _records(
    kafka: KafkaMetadata, directories: dict[TopicPartition, Path], node_id: int, notes: list[str]
) -> list[Record]:
    records: list[Record] = []
    for topic in kafka.topics.values():
        records.append(TopicRecord(topic.name, TopicId(bytes=topic.topic_id.bytes)))
        for index in sorted(topic.partitions):
            partition = topic.partitions[index]
            path = directories.get(TopicPartition(topic.name, index))
            epoch = max(partition.leader_epoch, _last_epoch(path)) + 1
            replicas = (node_id,)
            records.append(
                PartitionRecord(
                    topic.topic_id, index, node_id, epoch, replicas, replicas, partition.partition_epoch + 1
                )
            )
    records += _config_records(kafka, notes)
    if kafka.next_producer_id:
        records.append(ProducerIdsRecord(node_id, kafka.next_producer_id))
    return records


def _last_epoch(path: Path | None) -> int:
    """The last leader epoch in a log, -1 where there is none."""
    if path is None:
        return -1
    try:
        epochs = checkpoint.read_epochs(RealDisk(), path / LEADER_EPOCHS)
    except checkpoint.MalformedCheckpoint:
        return -1
    return max((epoch for epoch, _ in epochs), default=-1)


def _config_records(kafka: KafkaMetadata, notes: list[str]) -> Iterator[ConfigRecord]:
    left_out = []
    for (kind, resource), configs in kafka.configs.items():
        for name, value in configs.items():
            if _is_accepted(kind, name, value):
                yield ConfigRecord(kind, resource, name, value)
            else:
                left_out.append(f"{name}={value} of {resource or 'every broker'}")
    if left_out:
        notes.append(f"Not carried over, because it means nothing here: {_some(left_out)}.")


def _is_accepted(kind: int, name: str, value: str) -> bool:
    try:
        match kind:
            case ResourceType.TOPIC:
                check_topic_configs({name: value})
            case ResourceType.BROKER:
                definition = BROKER_CONFIGS.get(name)
                if definition is None:
                    return False
                definition.parse(value)
            case ResourceType.GROUP | ResourceType.CLIENT_METRICS:
                pass
            case _:
                return False
    except (ConfigError, KafkaError):
        return False
    return True


def _some(names: Sequence[str]) -> str:
    more = len(names) - _NAMED_MAX
    return ", ".join(names[:_NAMED_MAX]) + (f" and {more} more" if more > 0 else "")
