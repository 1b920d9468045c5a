"""One member of a share group: who it is, what it wants, what it may consume. A value: replay puts another there.

A share group's partitions belong to nobody, so a member is never told to wait for another: it is in the assignment's
epoch, or a heartbeat away from it. Source: Kafka's `ShareGroupMember`.
"""

from __future__ import annotations

from typing import Final, NamedTuple
from uuid import UUID

Place = tuple[UUID, int]
"""Topic id and partition."""

JOINING_EPOCH: Final = 0
LEAVING_EPOCH: Final = -1

NOTHING: Final[frozenset[Place]] = frozenset()


class ShareMember(NamedTuple):
    """Everything of it is durable; its timer is the group's."""

    member_id: str
    rack_id: str | None = None
    client_id: str = ""
    client_host: str = ""
    subscribed_topics: tuple[str, ...] = ()
    """Sorted, each once."""
    epoch: int = 0
    previous_epoch: int = 0
    assigned: frozenset[Place] = NOTHING

    def moved(self, epoch: int, assigned: frozenset[Place]) -> ShareMember:
        """The member in an epoch; the one it leaves stays good for a retry."""
        previous = self.previous_epoch if epoch == self.epoch else self.epoch
        return self._replace(epoch=epoch, previous_epoch=previous, assigned=assigned)
