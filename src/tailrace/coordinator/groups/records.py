"""Records of `__consumer_offsets`: Kafka's bytes for committed offsets and classic groups.

    key    | type i16 | fields |      type 0, 1: offset of (group, topic, partition); 2: group
    value  | version i16 | fields |   absent: tombstone

Consumer groups' types are read by `consumer_groups.records`; those of share and streams groups are kept in the log and
skipped.
Written: offset values as version 3, or 1 when the commit carried a retention time; group values as version 3, which
every Kafka since 2.3 reads. Source: Kafka's `GroupCoordinatorRecordHelpers`, KIP-345, KIP-211.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from tailrace.base.types import ZERO_TOPIC_ID
from tailrace.coordinator.groups.offsets import CommittedOffset
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.wire.group_records.group_metadata import GroupMetadataKey, GroupMetadataValue
from tailrace.wire.group_records.legacy_offset_commit import LegacyOffsetCommitKey, LegacyOffsetCommitValue
from tailrace.wire.group_records.offset_commit import OffsetCommitKey, OffsetCommitValue
from tailrace.wire.primitives import DecodeError, Message, StructError

_INT16 = Struct(">h")
_LEGACY_OFFSET_COMMIT: Final = 0
_OFFSET_COMMIT: Final = 1
_GROUP_METADATA: Final = 2
_GROUP_VALUE_VERSION: Final = 3
_OFFSET_VALUE_VERSION: Final = 4
_OFFSET_VALUE_VERSION_WITH_EXPIRY: Final = 1


class OffsetEntry(NamedTuple):
    """A decoded offset record; `committed` None: deleted."""

    group_id: str
    topic: str
    partition: int
    committed: CommittedOffset | None


class GroupEntry(NamedTuple):
    """A decoded group record; `value` None: deleted."""

    group_id: str
    value: GroupMetadataValue | None


class WrittenRecord(CoordinatorRecord):
    """A record, and what it says: who has just written it need not read it. Equal to the same one read from a log."""

    entry: OffsetEntry | GroupEntry


def _written(key: bytes, value: bytes, entry: OffsetEntry | GroupEntry) -> CoordinatorRecord:
    record = WrittenRecord(key, value)
    record.entry = entry
    return record


def offset_record(group_id: str, topic: str, partition: int, committed: CommittedOffset) -> CoordinatorRecord:
    """The record of one committed offset."""
    expires = committed.expire_timestamp_ms != -1
    value = OffsetCommitValue(
        offset=committed.offset,
        leader_epoch=committed.leader_epoch,
        metadata=committed.metadata,
        commit_timestamp=committed.commit_timestamp_ms,
        expire_timestamp=committed.expire_timestamp_ms,
        topic_id=committed.topic_id,
    )
    key = _offset_key(group_id, topic, partition)
    if expires:  # a version that does not hold everything
        version = _OFFSET_VALUE_VERSION_WITH_EXPIRY
        return CoordinatorRecord(key, _encode(version, value, version))
    entry = OffsetEntry(group_id, topic, partition, committed)
    return _written(key, _encode(_OFFSET_VALUE_VERSION, value, _OFFSET_VALUE_VERSION), entry)


def offset_tombstone(group_id: str, topic: str, partition: int) -> CoordinatorRecord:
    """The record that deletes one committed offset."""
    return CoordinatorRecord(_offset_key(group_id, topic, partition), None)


def group_record(group_id: str, value: GroupMetadataValue) -> CoordinatorRecord:
    """The record of a group's generation, members and assignments."""
    encoded = _encode(_GROUP_VALUE_VERSION, value, _GROUP_VALUE_VERSION)
    return _written(_group_key(group_id), encoded, GroupEntry(group_id, value))


def group_tombstone(group_id: str) -> CoordinatorRecord:
    """The record that deletes a group."""
    return CoordinatorRecord(_group_key(group_id), None)


def read_record(record: CoordinatorRecord) -> OffsetEntry | GroupEntry | None:
    """What a record says; None for a type that is neither an offset's nor the classic protocol's.

    Raises DecodeError when the bytes are not what their type and version say.
    """
    if isinstance(record, WrittenRecord):
        return record.entry
    key = memoryview(record.key)
    value = None if record.value is None else memoryview(record.value)
    try:
        (kind,) = _INT16.unpack_from(key)
        if kind == _LEGACY_OFFSET_COMMIT:
            legacy_key, _ = LegacyOffsetCommitKey.decode(key, 2, 0)
            return OffsetEntry(legacy_key.group, legacy_key.topic, legacy_key.partition, _read_offset(value))
        if kind == _OFFSET_COMMIT:
            offset_key, _ = OffsetCommitKey.decode(key, 2, 0)
            return OffsetEntry(offset_key.group, offset_key.topic, offset_key.partition, _read_offset(value))
        if kind == _GROUP_METADATA:
            group_key, _ = GroupMetadataKey.decode(key, 2, 0)
            return GroupEntry(group_key.group, _read_group(value))
    except (StructError, IndexError) as error:
        raise DecodeError(f"a record of the offsets topic ends too early: {error}") from error
    return None


def _read_offset(value: memoryview | None) -> CommittedOffset | None:
    if value is None:
        return None
    (version,) = _INT16.unpack_from(value)
    if version == 0:
        old, _ = LegacyOffsetCommitValue.decode(value, 2, version)
        return CommittedOffset(old.offset, -1, old.metadata, old.commit_timestamp, -1)
    _check_version(version, OffsetCommitValue.MAX_VERSION)
    new, _ = OffsetCommitValue.decode(value, 2, version)
    return CommittedOffset(
        new.offset,
        new.leader_epoch,
        new.metadata,
        new.commit_timestamp,
        new.expire_timestamp,
        topic_id=ZERO_TOPIC_ID if new.topic_id.int == 0 else new.topic_id,
    )


def _read_group(value: memoryview | None) -> GroupMetadataValue | None:
    if value is None:
        return None
    (version,) = _INT16.unpack_from(value)
    _check_version(version, GroupMetadataValue.MAX_VERSION)
    decoded, _ = GroupMetadataValue.decode(value, 2, version)
    return decoded


def _check_version(version: int, newest: int) -> None:
    if not 0 <= version <= newest:
        raise DecodeError(f"a value of the offsets topic has version {version}; known are 0 to {newest}")


def _offset_key(group_id: str, topic: str, partition: int) -> bytes:
    return _encode(_OFFSET_COMMIT, OffsetCommitKey(group_id, topic, partition), 0)


def _group_key(group_id: str) -> bytes:
    return _encode(_GROUP_METADATA, GroupMetadataKey(group_id), 0)


def _encode(prefix: int, message: Message, version: int) -> bytes:
    out = bytearray(_INT16.pack(prefix))
    message.encode(out, version)  # type: ignore[attr-defined] # every generated class has it; the base does not say so
    return bytes(out)
