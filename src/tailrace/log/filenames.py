"""Names of files and directories below a log directory. Source: Kafka LogFileUtils, UnifiedLog.

<log dir>/
  <topic>-<partition>/                      one replica
    00000000000000000042.log                segment, named by its base offset in 20 digits
    00000000000000000042.index .timeindex .txnindex
    00000000000000000050.snapshot           producer state before offset 50
    leader-epoch-checkpoint  partition.metadata
  <topic>-<partition>.<32 hex>-delete/      deleted, files going
  <topic>-<partition>.<32 hex>-stray/       of a topic that was deleted while its directory was offline; kept
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

from tailrace.base.types import TopicPartition

LOG_SUFFIX: Final = ".log"
INDEX_SUFFIX: Final = ".index"
TIME_INDEX_SUFFIX: Final = ".timeindex"
TXN_INDEX_SUFFIX: Final = ".txnindex"
SNAPSHOT_SUFFIX: Final = ".snapshot"
DELETED_SUFFIX: Final = ".deleted"
CLEANED_SUFFIX: Final = ".cleaned"
SWAP_SUFFIX: Final = ".swap"

LEADER_EPOCHS: Final = "leader-epoch-checkpoint"
PARTITION_METADATA: Final = "partition.metadata"

DELETE_DIRECTORY_SUFFIX: Final = "-delete"
FUTURE_DIRECTORY_SUFFIX: Final = "-future"
STRAY_DIRECTORY_SUFFIX: Final = "-stray"

KAFKA_METADATA_TOPIC: Final = "__cluster_metadata"
"""Apache Kafka's own metadata log lies among the others, as partition 0 of this. It is no topic and is never opened."""

_DIRECTORY_NAME_MAX_BYTES: Final = 255
_DIGITS: Final = 20


def offset_file(directory: Path, offset: int, suffix: str) -> Path:
    """Path of the file of `suffix` for the segment or snapshot at `offset`."""
    return directory / f"{offset:020d}{suffix}"


def offset_of(name: str, suffix: str) -> int | None:
    """The offset in a file name of `suffix`, or None where it is no such name."""
    stem = name.removesuffix(suffix)
    if stem == name or len(stem) < _DIGITS or not (stem.isascii() and stem.isdigit()):
        return None
    return int(stem)


def parse_directory(name: str) -> TopicPartition | None:
    """The partition a directory is the replica of, or None where the name is none, or Kafka's metadata log."""
    topic, dash, partition = name.rpartition("-")
    if not dash or not topic or not (partition.isascii() and partition.isdigit()) or topic == KAFKA_METADATA_TOPIC:
        return None
    return TopicPartition(topic, int(partition))


def deleted_directory(topic_partition: TopicPartition, unique: str) -> str:
    """Name under which a deleted replica waits for its removal; a long topic name is cut to what a directory allows."""
    return _aside(topic_partition, f".{unique}{DELETE_DIRECTORY_SUFFIX}")


def stray_directory(topic_partition: TopicPartition, unique: str) -> str:
    """Name under which the replica of a topic that is no more is kept until somebody looks at it."""
    return _aside(topic_partition, f".{unique}{STRAY_DIRECTORY_SUFFIX}")


def _aside(topic_partition: TopicPartition, tail: str) -> str:
    head = f"{topic_partition.topic}-{topic_partition.partition}"
    return head[: _DIRECTORY_NAME_MAX_BYTES - len(tail)] + tail
