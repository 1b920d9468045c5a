"""What was promised: which record is committed at which offset, and which records were acknowledged.

A record is committed when a leader's high watermark has passed it; from then on every replica has it there or has
nothing there, whatever happens. Complaints are collected, not raised: the run ends at the first one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass
class Acknowledged:
    """One partition's."""

    all: dict[bytes, int] = field(default_factory=dict)
    """Value -> offset that its producer was told, with acks=all."""
    leader_only: dict[bytes, int] = field(default_factory=dict)
    """The same with acks=1: it may be lost."""


class Model:
    """Committed and acknowledged records by partition."""

    def __init__(self, partitions: int) -> None:
        self.committed: list[dict[int, bytes | None]] = [{} for _ in range(partitions)]
        """Offset -> value."""
        self.acknowledged = [Acknowledged() for _ in range(partitions)]
        self.leaders: dict[tuple[int, int], int] = {}
        """(partition, leader epoch) -> the one broker that led then."""
        self.complaints: list[str] = []
        self.lost = 0
        """Committed records that an unclean election cost."""
        self.lost_as_logged = 0
        """The same, as those who cut them away logged it."""

    def complain(self, what: str) -> None:
        """Something is not as it was promised."""
        self.complaints.append(what)

    def on_leader(self, index: int, epoch: int, node_id: int) -> None:
        """A broker leads."""
        known = self.leaders.setdefault((index, epoch), node_id)
        if known != node_id:
            self.complain(f"t-{index} has two leaders in epoch {epoch}: {known} and {node_id}")

    def on_committed(self, index: int, node_id: int, offset: int, value: bytes | None) -> None:
        """A replica calls a record committed."""
        known = self.committed[index].setdefault(offset, value)
        if known != value:
            self.complain(f"t-{index} offset {offset} is {known!r}, and {value!r} at broker {node_id}")

    def lose(self, index: int, held: Mapping[int, bytes | None]) -> None:
        """Somebody leads by an unclean election, and has what is in `held`: that is all there is from now on."""
        kept = {offset: value for offset, value in self.committed[index].items() if held.get(offset) == value}
        self.lost += len(self.committed[index]) - len(kept)
        self.committed[index] = kept
        told = self.acknowledged[index]
        told.all = {value: offset for value, offset in told.all.items() if kept.get(offset) == value}

    def on_acknowledged(self, index: int, base_offset: int, values: list[bytes], *, is_all: bool) -> None:
        """A producer was told that its records are stored."""
        told = self.acknowledged[index]
        for offset, value in enumerate(values, base_offset):
            (told.all if is_all else told.leader_only)[value] = offset
            if is_all and self.committed[index].get(offset) != value:
                self.complain(f"t-{index}: {value!r} was acknowledged at {offset} before it was committed")

    def on_read(self, index: int, position: int, offset: int, value: bytes | None) -> None:
        """A reader that was at `position` saw this next."""
        if offset != position:
            self.complain(f"a reader of t-{index} at {position} was given offset {offset}")
        if self.committed[index].get(offset) != value:
            self.complain(f"a reader of t-{index} saw {value!r} at {offset}, which is not what is committed there")

    def judge(self, index: int, values: list[bytes | None]) -> int:
        """The whole partition, at the end. Answers how many records were lost that only their leader had
        acknowledged."""
        for offset, value in self.committed[index].items():
            if offset >= len(values) or values[offset] != value:
                held = values[offset] if offset < len(values) else None
                self.complain(f"t-{index}: committed record {offset} {value!r} is {held!r} at the end")
        for value, offset in self.acknowledged[index].all.items():
            if values.count(value) != 1:
                self.complain(f"t-{index}: {value!r}, acknowledged at {offset}, is there {values.count(value)} times")
        there = set(values)
        return sum(1 for value in self.acknowledged[index].leader_only if value not in there)
