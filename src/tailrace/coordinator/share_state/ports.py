"""What is kept of a share partition (one partition as one share group consumes it), and who keeps it.

The leader of the partition reads its state once, in its leader epoch, and writes what changed; the group coordinator
makes states and deletes them. Everything runs in the loop's thread. Source: KIP-932, Kafka's `Persister`.
"""

from __future__ import annotations

from base64 import urlsafe_b64encode
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol
from uuid import UUID

from tailrace.base.errors import ErrorCode
from tailrace.base.pending import Pending

UNINITIALIZED_START_OFFSET: Final = -1
"""The start offset of a state that was made, and whose partition's leader is to find where to begin."""

UNCHANGED: Final = -1
"""In a write: the start offset stays as it is. As a leader epoch: whoever asks leads nothing, and fences nobody."""


class SharePartitionKey(NamedTuple):
    """Which state: one partition as one group consumes it."""

    group_id: str
    topic_id: UUID
    partition: int

    @property
    def text(self) -> str:
        """Kafka's key of a coordinator: what FindCoordinator is asked and a partition of the topic is chosen by."""
        return f"{self.group_id}:{_base64(self.topic_id)}:{self.partition}"


class StateBatch(NamedTuple):
    """Offsets `first_offset` to `last_offset`, both within: what became of them, and how often they were delivered.

    `delivery_state` is 0 (available), 2 (acknowledged) or 4 (archived); `delivery_count` >= 0.
    """

    first_offset: int
    last_offset: int
    delivery_state: int
    delivery_count: int


class PartitionState(NamedTuple):
    """A state as it is read: batches rise, do not overlap, and none ends below the start offset."""

    state_epoch: int
    start_offset: int
    """`UNINITIALIZED_START_OFFSET` when the group has never come to this partition."""
    delivery_complete_count: int
    """How many of the offsets from the start offset on are done with; -1 when nobody has said."""
    batches: tuple[StateBatch, ...] = ()


class StateWrite(NamedTuple):
    """What a partition's leader has to say. Batches are what changed, not all there are."""

    state_epoch: int
    leader_epoch: int
    start_offset: int
    """`UNCHANGED`: as it was."""
    delivery_complete_count: int
    batches: Sequence[StateBatch] = ()


class ShareStates(Protocol):
    """Keeps the state of share partitions. Operations on one key happen in the order they were called."""

    def read_state(self, key: SharePartitionKey, leader_epoch: int) -> Pending[PartitionState | ErrorCode]:
        """The state of a partition that is led in `leader_epoch`: from then on earlier leaders are fenced.

        Errors: FENCED_LEADER_EPOCH, NOT_COORDINATOR, COORDINATOR_LOAD_IN_PROGRESS, COORDINATOR_NOT_AVAILABLE,
        UNKNOWN_TOPIC_OR_PARTITION, INVALID_REQUEST where no such state was made.
        """
        ...

    def write_state(self, key: SharePartitionKey, write: StateWrite) -> Pending[ErrorCode | None]:
        """Completes with None when what is said is committed, or with why it is not, and then nothing changed.

        Errors: as for reading, and FENCED_STATE_EPOCH.
        """
        ...


class StateSummary(NamedTuple):
    """How far a group has come in a partition; as it stands here, of a state that was never made."""

    state_epoch: int = 0
    leader_epoch: int = 0
    start_offset: int = UNINITIALIZED_START_OFFSET
    delivery_complete_count: int = -1


class ShareStateKeeper(ShareStates, Protocol):
    """Keeps states, and makes and deletes them: what the group coordinator needs of it."""

    def initialize_state(
        self, key: SharePartitionKey, state_epoch: int, start_offset: int
    ) -> Pending[ErrorCode | None]:
        """Make a state that begins at `start_offset`, or make it anew: what was known before is void.

        Completes with None when that is committed. Errors: FENCED_STATE_EPOCH, and as for reading.
        """
        ...

    def delete_state(self, key: SharePartitionKey) -> Pending[ErrorCode | None]:
        """Forget a state; None also for one that does not exist. Errors as for reading."""
        ...

    def summary(self, key: SharePartitionKey) -> Pending[StateSummary | ErrorCode]:
        """How far the group has come; of a state that does not exist a summary that says so. Errors as for reading."""
        ...


def _base64(topic_id: UUID) -> str:
    """Kafka's text of a UUID."""
    return urlsafe_b64encode(topic_id.bytes).rstrip(b"=").decode()
