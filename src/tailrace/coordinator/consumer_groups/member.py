"""One member of a consumer group: who it is, what it wants, what it owns. A value: replay puts another in its place.

    STABLE                 owns its target, at the assignment's epoch
    UNREVOKED_PARTITIONS   must give some partitions up; stays in its epoch until it says that it has
    UNRELEASED_PARTITIONS  in the new epoch, and some of its target still belong to others

Source: Kafka's `ConsumerGroupMember` and `MemberState`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import IntEnum
from typing import Final, NamedTuple
from uuid import UUID

Place = tuple[UUID, int]
"""Topic id and partition."""

JOINING_EPOCH: Final = 0
LEAVING_EPOCH: Final = -1
STATIC_LEAVING_EPOCH: Final = -2
"""A static member that left and keeps its place until its session ends."""

_NOTHING: Final[Mapping[Place, int]] = {}


class MemberState(IntEnum):
    """Numbers are those of the record."""

    STABLE = 0
    UNREVOKED_PARTITIONS = 1
    UNRELEASED_PARTITIONS = 2


class ClassicSide(NamedTuple):
    """What a member that still speaks the classic protocol told in its last join: a rolling change passes by here."""

    session_timeout_ms: int
    protocols: tuple[tuple[str, bytes], ...]
    """(assignor name, subscription), most wanted first; at least one. The first is what the member is told."""


class ConsumerMember(NamedTuple):
    """Everything of it is durable; its timers are the group's."""

    member_id: str
    instance_id: str | None = None
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    subscribed_topics: tuple[str, ...] = ()
    """Sorted, each once."""
    subscribed_regex: str = ""
    server_assignor: str | None = None
    rebalance_timeout_ms: int = -1
    epoch: int = 0
    previous_epoch: int = 0
    state: MemberState = MemberState.STABLE
    assigned: Mapping[Place, int] = _NOTHING
    """What it may consume, each with the epoch in which it was given."""
    pending_revocation: Mapping[Place, int] = _NOTHING
    """What it has to give up and has not yet."""
    classic: ClassicSide | None = None
    """Of a member of the classic protocol; then its epoch is what it knows as the generation."""

    def is_reconciled_to(self, target_epoch: int) -> bool:
        """Whether it has come to the assignment of that epoch."""
        return self.state is MemberState.STABLE and self.epoch == target_epoch

    def moved(
        self, epoch: int, state: MemberState, assigned: Mapping[Place, int], pending: Mapping[Place, int] = _NOTHING
    ) -> ConsumerMember:
        """The member in its next state; the epoch it leaves stays good for a retry."""
        return self._replace(
            epoch=epoch, previous_epoch=self.epoch, state=state, assigned=assigned, pending_revocation=pending
        )


def most_wanted_assignor(members: Iterable[ConsumerMember], default: str) -> str:
    """The assignor most of them ask for, the first by name where several are; `default` when nobody asks."""
    votes = [member.server_assignor for member in members if member.server_assignor]
    return max(sorted(set(votes)), key=votes.count) if votes else default
