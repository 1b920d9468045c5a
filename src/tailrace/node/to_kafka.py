"""Handing a data directory over to Apache Kafka: our metadata becomes what a Kafka controller starts from.

The logs stay as they are, for they are Kafka's already. Written are `bootstrap.checkpoint` and the first snapshot of
`__cluster_metadata-0` (an older metadata log there goes); then `metadata.db` is set aside under another name, so that
the next start of Tailrace does not take up where Kafka has gone on.

Invariant: `metadata.db` is renamed last; before that, running it again does the same. Source: Kafka StorageTool.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Final, NamedTuple
from uuid import UUID

from tailrace.base.clock import SystemClock
from tailrace.base.disk import RealDisk, write_atomically
from tailrace.base.errors import TailraceError
from tailrace.base.rand import SystemRandom
from tailrace.base.types import ZERO_TOPIC_ID, TopicPartition
from tailrace.cluster.image import MetadataImage
from tailrace.cluster.kafka_bootstrap import (
    BOOTSTRAP_FILE,
    VOTERS_FILE,
    Voter,
    bootstrap_snapshot,
    voters_snapshot,
)
from tailrace.cluster.settings import BrokerSettings
from tailrace.log import meta_properties, partition_metadata
from tailrace.log.meta_properties import MetaProperties
from tailrace.log.partition_metadata import decode_topic_id, encode_topic_id
from tailrace.node.kafka_directory import (
    KAFKA_METADATA_DIRECTORY,
    METADATA_FILE,
    identities,
    locked,
    log_directories,
    metadata_directory,
    metadata_of,
    partitions_in,
)

SET_ASIDE_SUFFIX: Final = ".moved-to-kafka"


class Controller(NamedTuple):
    """Where the controller of the Kafka to come listens."""

    listener: str
    host: str
    port: int


class HandedOver(NamedTuple):
    """What Kafka gets. `unknown` are partition directories that no topic of ours has: Kafka sets them aside."""

    cluster_id: str
    node_id: int
    topic_count: int
    partition_count: int
    unknown: list[str]


def to_kafka(settings: BrokerSettings, data_dir: Path, controller: Controller) -> HandedOver:
    """Make the logs in `log.dirs` (or `data_dir`) a Kafka node's, broker and controller in one. Neither may run.

    Raises TailraceError, one sentence, when the directory is in use or has no metadata; OSError, StorageError.
    """
    path = data_dir / METADATA_FILE
    if not path.exists():
        raise TailraceError(f"there is no {path}: this is not a data directory of Tailrace")
    log_dirs = log_directories(settings, data_dir)
    metadata_dir = metadata_directory(settings, log_dirs)
    metadata_dir.mkdir(parents=True, exist_ok=True)
    with locked([*log_dirs, metadata_dir]):
        image = metadata_of(path)
        metas = [_named(log_dir, meta) for log_dir, meta in zip(log_dirs, identities(log_dirs), strict=True)]
        ids = {log_dir: decode_topic_id(meta.directory_id) for log_dir, meta in zip(log_dirs, metas, strict=True)}
        _check_directories(image, metas[0].node_id, {meta.directory_id for meta in metas})
        partitions = partitions_in(log_dirs)
        _name_topics(image, partitions)
        homes = {topic_partition: ids[directory.parent] for topic_partition, directory in partitions.items()}
        voter_directory = ids.get(metadata_dir) or decode_topic_id(_named(metadata_dir, metas[0]).directory_id)
        _write(metadata_dir, image, homes, Voter(metas[0].node_id, voter_directory, *controller))
        path.rename(path.with_name(METADATA_FILE + SET_ASIDE_SUFFIX))
    unknown = [str(found) for found in partitions if image.partition(*found) is None]
    partition_count = sum(len(topic.partitions) for topic in image.topics.values())
    return HandedOver(image.cluster_id, metas[0].node_id, len(image.topics), partition_count, unknown)


def _check_directories(image: MetadataImage, node_id: int, present: set[str]) -> None:
    """Kafka would begin the partitions of a directory that is missing again, empty."""
    broker = image.brokers.get(node_id)
    missing = [path for directory_id, path in (broker.directories if broker else ()) if directory_id not in present]
    if missing:
        raise TailraceError(f"log directories of this broker are missing: {', '.join(missing)}; name them in log.dirs")


def _named(directory: Path, meta: MetaProperties) -> MetaProperties:
    """The identity of `directory`, `meta` with an id of its own where it has none."""
    found = meta_properties.read(RealDisk(), directory)
    if found is not None and found.directory_id:
        return found
    found = meta._replace(directory_id=encode_topic_id(SystemRandom().uuid()))
    meta_properties.write(RealDisk(), directory, found)
    return found


def _name_topics(image: MetadataImage, partitions: dict[TopicPartition, Path]) -> None:
    """Give each log its topic's id where it has none: Kafka takes a log without one for a stranger."""
    for (name, _), directory in partitions.items():
        topic = image.topic(name)
        if topic is not None and partition_metadata.read(RealDisk(), directory) == ZERO_TOPIC_ID:
            partition_metadata.write(RealDisk(), directory, topic.topic_id)


def _write(metadata_dir: Path, image: MetadataImage, homes: dict[TopicPartition, UUID], voter: Voter) -> None:
    disk = RealDisk()
    now_ms = SystemClock().wall_ms()
    log = metadata_dir / KAFKA_METADATA_DIRECTORY
    disk.make_directory(log)
    _clear(log, disk.list(log))
    write_atomically(disk, log / VOTERS_FILE, voters_snapshot(voter, now_ms))
    data = bootstrap_snapshot(image, voter.node_id, homes, now_ms)
    write_atomically(disk, metadata_dir / BOOTSTRAP_FILE, data)


def _clear(log: Path, names: Sequence[str]) -> None:
    for name in names:
        RealDisk().remove(log / name)
