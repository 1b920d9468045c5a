"""`partition.metadata`: the topic id of a replica, so that another topic of the same name is not mistaken for it.

    version: 0
    topic_id: <16 bytes in URL-safe base64, no padding>

Written before the first record. Source: Kafka PartitionMetadataFile, Uuid.
"""

from __future__ import annotations

import base64
from pathlib import Path

from tailrace.base.disk import Disk, replace_unsynced
from tailrace.base.errors import StorageError
from tailrace.base.types import ZERO_TOPIC_ID, TopicId
from tailrace.log.filenames import PARTITION_METADATA


def encode_topic_id(topic_id: TopicId) -> str:
    """The id as Kafka writes it in text."""
    return base64.urlsafe_b64encode(topic_id.bytes).decode().rstrip("=")


def decode_topic_id(text: str) -> TopicId:
    """The id that Kafka writes as `text`. Raises ValueError (binascii.Error is one)."""
    return TopicId(bytes=base64.urlsafe_b64decode(text + "=="))


def read(disk: Disk, directory: Path) -> TopicId:
    """The topic id in `directory`, ZERO_TOPIC_ID where there is none or it does not parse. Raises StorageError."""
    try:
        text = disk.read(directory / PARTITION_METADATA).decode("ascii", "replace")
    except StorageError as error:
        if isinstance(error.cause, FileNotFoundError):
            return ZERO_TOPIC_ID
        raise
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name.strip() == "topic_id":
            try:
                return decode_topic_id(value.strip())
            except ValueError:
                return ZERO_TOPIC_ID
    return ZERO_TOPIC_ID


def write(disk: Disk, directory: Path, topic_id: TopicId) -> None:
    """Replace the file, unsynced: the log's first flush does. Raises StorageError."""
    text = f"version: 0\ntopic_id: {encode_topic_id(topic_id)}\n"
    replace_unsynced(disk, directory / PARTITION_METADATA, text.encode())
