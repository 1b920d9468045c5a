"""The state of one share partition, and the record that each operation on it wants. Values; nothing changes in place.

    initialize ──> snapshot, a new state epoch: what was known is void
    write      ──> update: what changed                    until there are enough of them, then a snapshot of it all
    read       ──> update with the reader's leader epoch   when that is a new one
    delete     ──> tombstone

Invariant: a state is what its last snapshot says with the updates since, in order.
Source: Kafka's `ShareCoordinatorShard`, `ShareGroupOffset`.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.coordinator.share_state.batches import combined, merged
from tailrace.coordinator.share_state.ports import (
    UNCHANGED,
    UNINITIALIZED_START_OFFSET,
    PartitionState,
    StateBatch,
    StateWrite,
)

NO_COUNT: Final = -1
"""Delivery complete count of a state whose start offset nobody knows yet."""


class Update(NamedTuple):
    """What an update record says of a state."""

    snapshot_epoch: int
    leader_epoch: int
    start_offset: int
    delivery_complete_count: int
    batches: tuple[StateBatch, ...]


class ShareState(NamedTuple):
    """Everything known of one share partition."""

    snapshot_epoch: int
    state_epoch: int
    leader_epoch: int
    start_offset: int
    delivery_complete_count: int
    created_ms: int
    """When the snapshot was first written; a cold one is written again with the same."""
    written_ms: int
    batches: tuple[StateBatch, ...] = ()
    update_count: int = 0
    """Updates since the snapshot. It is counted, not written."""

    @property
    def is_cold(self) -> bool:
        """Whether it was written again because nobody had changed it."""
        return self.created_ms != self.written_ms

    def check_leader(self, leader_epoch: int) -> None:
        """Raise FENCED_LEADER_EPOCH for a leader that is none any more."""
        if leader_epoch != UNCHANGED and leader_epoch < self.leader_epoch:
            raise KafkaError(ErrorCode.FENCED_LEADER_EPOCH)

    def check_state_epoch(self, state_epoch: int) -> None:
        """Raise FENCED_STATE_EPOCH for who speaks of a state that was made anew since."""
        if state_epoch != UNCHANGED and state_epoch < self.state_epoch:
            raise KafkaError(ErrorCode.FENCED_STATE_EPOCH)

    def read(self) -> PartitionState:
        """What a leader is told."""
        return PartitionState(self.state_epoch, self.start_offset, self.delivery_complete_count, self.batches)

    def update(self, write: StateWrite) -> Update:
        """A write as a record: only what it says. Whoever writes has read, so the leader epoch stays."""
        return Update(
            self.snapshot_epoch,
            self.leader_epoch,
            write.start_offset,
            write.delivery_complete_count,
            combined(write.batches, write.start_offset),
        )

    def led(self, leader_epoch: int) -> Update:
        """The record that a leader of this epoch has read the state."""
        return Update(self.snapshot_epoch, leader_epoch, self.start_offset, self.delivery_complete_count, ())

    def updated(self, update: Update) -> ShareState:
        """The state with one update more."""
        start_offset = self.start_offset if update.start_offset == UNCHANGED else update.start_offset
        return self._replace(
            leader_epoch=self.leader_epoch if update.leader_epoch == UNCHANGED else update.leader_epoch,
            start_offset=start_offset,
            delivery_complete_count=update.delivery_complete_count,
            batches=merged(self.batches, update.batches, start_offset),
            update_count=self.update_count + 1,
        )

    def snapshot(self, now_ms: int) -> ShareState:
        """The state as a snapshot of this moment."""
        return self._replace(
            snapshot_epoch=self.snapshot_epoch + 1, created_ms=now_ms, written_ms=now_ms, update_count=0
        )

    def cold_snapshot(self, now_ms: int) -> ShareState:
        """The state written again, because nobody changes it."""
        return self._replace(snapshot_epoch=self.snapshot_epoch + 1, written_ms=now_ms, update_count=0)


def initialized(known: ShareState | None, state_epoch: int, start_offset: int, now_ms: int) -> ShareState:
    """A state made, or made anew. Raises FENCED_STATE_EPOCH."""
    if known is not None:
        known.check_state_epoch(state_epoch)
    return ShareState(
        snapshot_epoch=0 if known is None else known.snapshot_epoch + 1,
        state_epoch=state_epoch,
        leader_epoch=0,
        start_offset=start_offset,
        delivery_complete_count=NO_COUNT if start_offset == UNINITIALIZED_START_OFFSET else 0,
        created_ms=now_ms,
        written_ms=now_ms,
    )
