"""The states of one partition of `__share_group_state`: what its log says, and the turns of its keys.

Invariant: applying the partition's records in order with `replay`, from nothing, gives every state as of the last
committed record. `snapshot_offsets` says where the oldest record lies that is needed for that.
"""

from __future__ import annotations

from collections import deque

from tailrace.coordinator.decision import Decision
from tailrace.coordinator.ports import CoordinatorRecord
from tailrace.coordinator.share_state.ports import SharePartitionKey
from tailrace.coordinator.share_state.records import read_state_record
from tailrace.coordinator.share_state.state import ShareState
from tailrace.coordinator.turns import Turn


class ShareStateShard:
    """State machine of one partition."""

    __slots__ = ("is_closed", "is_loading", "partition", "pruned_to", "snapshot_offsets", "states", "turns")

    def __init__(self, partition: int) -> None:
        self.partition = partition
        self.states: dict[SharePartitionKey, ShareState] = {}
        self.snapshot_offsets: dict[SharePartitionKey, int] = {}
        """Of each state: the offset of its last snapshot."""
        self.pruned_to = 0
        """Below this offset nothing is needed and nothing is left."""
        self.turns: dict[str, deque[Turn]] = {}
        self.is_loading = True
        self.is_closed = False

    def apply(self, decision: Decision) -> None:
        """Replay the records of a decision that is committed."""
        for record in decision.records:
            self.replay(record)

    def replay(self, record: CoordinatorRecord, offset: int | None = None) -> None:
        """Apply one committed record; `offset` is its own, where it is known. Raises DecodeError."""
        entry = read_state_record(record)
        if entry is None:
            return
        key, said = entry
        if said is None:
            self.states.pop(key, None)
            self.snapshot_offsets.pop(key, None)
        elif isinstance(said, ShareState):
            self.states[key] = said
            if offset is not None:
                self.snapshot_offsets[key] = offset
        elif key in self.states:
            self.states[key] = self.states[key].updated(said)

    def needed_from(self, log_end_offset: int) -> int:
        """The offset of the oldest record that counts; the log's end where none does."""
        return min(self.snapshot_offsets.values(), default=log_end_offset)
