"""Records of `__share_group_state`, in Kafka's bytes.

    key    | type i16 | group_id | topic_id | partition |     0 snapshot, 1 update
    value  | version i16 | fields |                           absent, of type 0: the state is deleted

The topic is not compacted: an update says what changed since the snapshot before it, and whatever is below the oldest
snapshot that counts is deleted. Source: Kafka's `ShareCoordinatorRecordHelpers`, ShareSnapshotValue.json.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.record_codec import RecordTypes
from tailrace.coordinator.share_state.ports import SharePartitionKey, StateBatch
from tailrace.coordinator.share_state.state import ShareState, Update
from tailrace.wire.share_records import share_snapshot, share_update
from tailrace.wire.share_records.share_snapshot import ShareSnapshotKey, ShareSnapshotValue
from tailrace.wire.share_records.share_update import ShareUpdateKey, ShareUpdateValue

_TYPES: Final = RecordTypes(
    "the share group state", {0: (ShareSnapshotKey, ShareSnapshotValue), 1: (ShareUpdateKey, ShareUpdateValue)}
)


class StateEntry(NamedTuple):
    """A decoded record; `said` None: the state is deleted."""

    key: SharePartitionKey
    said: ShareState | Update | None


def snapshot_record(key: SharePartitionKey, state: ShareState) -> CoordinatorRecord:
    """A whole state."""
    value = ShareSnapshotValue(
        snapshot_epoch=state.snapshot_epoch,
        state_epoch=state.state_epoch,
        leader_epoch=state.leader_epoch,
        start_offset=state.start_offset,
        delivery_complete_count=state.delivery_complete_count,
        create_timestamp=state.created_ms,
        write_timestamp=state.written_ms,
        state_batches=[share_snapshot.StateBatch(*batch) for batch in state.batches],
    )
    return _TYPES.record(ShareSnapshotKey(*key), value)


def update_record(key: SharePartitionKey, update: Update) -> CoordinatorRecord:
    """What changed."""
    value = ShareUpdateValue(
        snapshot_epoch=update.snapshot_epoch,
        leader_epoch=update.leader_epoch,
        start_offset=update.start_offset,
        delivery_complete_count=update.delivery_complete_count,
        state_batches=[share_update.StateBatch(*batch) for batch in update.batches],
    )
    return _TYPES.record(ShareUpdateKey(*key), value)


def state_tombstone(key: SharePartitionKey) -> CoordinatorRecord:
    """The state is deleted."""
    return _TYPES.record(ShareSnapshotKey(*key), None)


def read_state_record(record: CoordinatorRecord) -> StateEntry | None:
    """What a record says; None for a type that is not known. Raises DecodeError for damaged bytes."""
    entry = _TYPES.read(record)
    if entry is None:
        return None
    key, value = entry
    place = SharePartitionKey(key.group_id, key.topic_id, key.partition)
    if value is None:
        return StateEntry(place, None)
    batches = tuple(
        StateBatch(batch.first_offset, batch.last_offset, batch.delivery_state, batch.delivery_count)
        for batch in value.state_batches
    )
    if isinstance(value, ShareUpdateValue):
        return StateEntry(
            place,
            Update(
                value.snapshot_epoch, value.leader_epoch, value.start_offset, value.delivery_complete_count, batches
            ),
        )
    assert isinstance(value, ShareSnapshotValue)
    return StateEntry(
        place,
        ShareState(
            value.snapshot_epoch,
            value.state_epoch,
            value.leader_epoch,
            value.start_offset,
            value.delivery_complete_count,
            value.create_timestamp,
            value.write_timestamp,
            batches,
        ),
    )
