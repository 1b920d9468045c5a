"""Records of `__consumer_offsets` in words: what was committed, and what a group was."""

from __future__ import annotations

from struct import error as StructError  # noqa: N812 - the standard library's name is lower case
from typing import Any, Final

from tailrace.wire.group_records.group_metadata import GroupMetadataKey, GroupMetadataValue
from tailrace.wire.group_records.offset_commit import OffsetCommitKey, OffsetCommitValue

VERSION_BYTES: Final = 2
OFFSET_COMMIT_KEYS: Final = (0, 1)
GROUP_METADATA_KEY: Final = 2


def describe_group_record(key: bytes | None, value: bytes | None) -> dict[str, Any] | None:
    """The record's meaning; None where its kind is not known here or it does not parse. No value: a tombstone."""
    if key is None or len(key) < VERSION_BYTES:
        return None
    version = int.from_bytes(key[:VERSION_BYTES], "big")
    try:
        if version in OFFSET_COMMIT_KEYS:
            return _offset_commit(key, value, version)
        if version == GROUP_METADATA_KEY:
            return _group_metadata(key, value, version)
    except (StructError, IndexError, ValueError):
        return None
    return None


def _offset_commit(key: bytes, value: bytes | None, version: int) -> dict[str, Any]:
    named, _ = OffsetCommitKey.decode(memoryview(key), VERSION_BYTES, version)
    entry: dict[str, Any] = {
        "type": "offset_commit",
        "group": named.group,
        "topic": named.topic,
        "partition": named.partition,
    }
    if value is None:
        return entry | {"tombstone": True}
    content, _ = OffsetCommitValue.decode(memoryview(value), VERSION_BYTES, _version(value))
    return entry | {
        "committed_offset": content.offset,
        "leader_epoch": content.leader_epoch,
        "metadata": content.metadata,
        "commit_timestamp": content.commit_timestamp,
    }


def _group_metadata(key: bytes, value: bytes | None, version: int) -> dict[str, Any]:
    named, _ = GroupMetadataKey.decode(memoryview(key), VERSION_BYTES, version)
    entry: dict[str, Any] = {"type": "group_metadata", "group": named.group}
    if value is None:
        return entry | {"tombstone": True}
    content, _ = GroupMetadataValue.decode(memoryview(value), VERSION_BYTES, _version(value))
    return entry | {
        "protocol_type": content.protocol_type,
        "generation": content.generation,
        "protocol": content.protocol,
        "leader": content.leader,
        "members": [member.member_id for member in content.members],
    }


def _version(value: bytes) -> int:
    return int.from_bytes(value[:VERSION_BYTES], "big")
