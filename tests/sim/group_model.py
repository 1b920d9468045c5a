"""What groups were promised: whose a partition is, and how far the group has come in it.

    owner      one member in one epoch; nobody commits for a partition after another has in a later epoch
    offset     what was acknowledged is what the next owner begins with, or more
    copies     of each record of the source one is committed, in the order of the source

Complaints go to the cluster's model.
"""

from __future__ import annotations

from collections import defaultdict

from tests.sim.model import Model

from tailrace.base.types import TopicPartition

Place = tuple[str, TopicPartition]
"""A group and a partition that it consumes."""
Claim = tuple[int, str]
"""A member epoch and a member id."""


class GroupModel:
    """Every group of a run."""

    def __init__(self, model: Model) -> None:
        self._model = model
        self._owners: dict[tuple[Place, int], str] = {}
        """In an epoch: whose commit was accepted."""
        self.newest: defaultdict[Place, Claim] = defaultdict(lambda: (-1, ""))
        """The latest epoch in which a commit was acknowledged, and whose."""
        self.floors: defaultdict[Place, int] = defaultdict(int)
        """The offset that somebody was told last, after a commit or when he asked."""
        self.copied: defaultdict[TopicPartition, list[int]] = defaultdict(list)
        """Offsets of the source, in the order in which their copies were seen to be committed."""

    def on_accepted(self, place: Place, claim: Claim, known: Claim) -> None:
        """A member's commit was accepted. `known`: what was the newest when it was sent."""
        epoch, member_id = claim
        other = self._owners.setdefault((place, epoch), member_id)
        if other != member_id:
            self._model.complain(f"{member_id} and {other} have both committed for {place} in epoch {epoch}")
        if known[1] != member_id and known[0] > epoch:
            self._model.complain(f"{member_id} has committed for {place} in epoch {epoch}, which is {known}'s")
        self.newest[place] = max(self.newest[place], claim)

    def on_committed(self, place: Place, offset: int) -> None:
        """A member was told that this is its group's offset."""
        self.floors[place] = max(self.floors[place], offset)

    def on_fetched(self, place: Place, offset: int, floor: int) -> None:
        """A member was told so when it asked. `floor`: what had been acknowledged by then."""
        if offset < floor:
            self._model.complain(f"the offset of {place} is {offset}, after {floor} was acknowledged")
        self.floors[place] = max(self.floors[place], offset)

    def __str__(self) -> str:
        copied = {str(at): len(seen) for at, seen in self.copied.items()}
        return f"groups at {dict(self.floors)}, copied {copied}"

    def on_copy_seen(self, source: TopicPartition, offset: int) -> None:
        """A committed copy of a record."""
        seen = self.copied[source]
        if offset != len(seen):
            self._model.complain(f"after {len(seen)} copies of {source} that of offset {offset} is committed")
        seen.append(offset)
