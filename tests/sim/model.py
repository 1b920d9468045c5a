"""What was promised: which record is committed at which offset, and which records were acknowledged.

A record is committed when a leader's high watermark has passed it; from then on every replica has it there or has
nothing there, whatever happens. Complaints are collected, not raised: the run ends at the first one.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field

from tailrace.base.types import TopicPartition


@dataclass
class Acknowledged:
    """One partition's."""

    all: dict[bytes, int] = field(default_factory=dict)
    """Value -> offset that its producer was told, with acks=all."""
    leader_only: dict[bytes, int] = field(default_factory=dict)
    """The same with acks=1: it may be lost."""


class Model:
    """Committed and acknowledged records by partition."""

    def __init__(self) -> None:
        self.committed: defaultdict[TopicPartition, dict[int, bytes | None]] = defaultdict(dict)
        """Offset -> value; a marker's is what it says."""
        self.acknowledged: defaultdict[TopicPartition, Acknowledged] = defaultdict(Acknowledged)
        self.leaders: dict[tuple[TopicPartition, int], int] = {}
        """(partition, leader epoch) -> the one broker that led then."""
        self.complaints: list[str] = []
        self.lost = 0
        """Committed records that an unclean election cost."""
        self.lost_as_logged = 0
        """The same, as those who cut them away logged it."""

    def complain(self, what: str) -> None:
        """Something is not as it was promised."""
        self.complaints.append(what)

    def on_leader(self, at: TopicPartition, epoch: int, node_id: int) -> None:
        """A broker leads."""
        known = self.leaders.setdefault((at, epoch), node_id)
        if known != node_id:
            self.complain(f"{at} has two leaders in epoch {epoch}: {known} and {node_id}")

    def on_committed(self, at: TopicPartition, node_id: int, offset: int, value: bytes | None) -> None:
        """A replica calls a record committed."""
        known = self.committed[at].setdefault(offset, value)
        if known != value:
            self.complain(f"{at} offset {offset} is {known!r}, and {value!r} at broker {node_id}")

    def lose(self, at: TopicPartition, held: Mapping[int, bytes | None]) -> None:
        """Somebody leads by an unclean election, and has what is in `held`: that is all there is from now on."""
        kept = {offset: value for offset, value in self.committed[at].items() if held.get(offset) == value}
        self.lost += len(self.committed[at]) - len(kept)
        self.committed[at] = kept
        told = self.acknowledged[at]
        told.all = {value: offset for value, offset in told.all.items() if kept.get(offset) == value}

    def on_acknowledged(self, at: TopicPartition, base_offset: int, values: list[bytes], *, is_all: bool) -> None:
        """A producer was told that its records are stored."""
        told = self.acknowledged[at]
        for offset, value in enumerate(values, base_offset):
            (told.all if is_all else told.leader_only)[value] = offset
            if is_all and self.committed[at].get(offset) != value:
                self.complain(f"{at}: {value!r} was acknowledged at {offset} before it was committed")

    def on_read(self, at: TopicPartition, position: int, offset: int, value: bytes | None) -> None:
        """A reader that was at `position` saw this next."""
        if offset != position:
            self.complain(f"a reader of {at} at {position} was given offset {offset}")
        if self.committed[at].get(offset) != value:
            self.complain(f"a reader of {at} saw {value!r} at {offset}, which is not what is committed there")

    def judge(self, at: TopicPartition, values: list[bytes | None]) -> int:
        """The whole partition, at the end. Answers how many records were lost that only their leader had
        acknowledged."""
        for offset, value in self.committed[at].items():
            if offset >= len(values) or values[offset] != value:
                held = values[offset] if offset < len(values) else None
                self.complain(f"{at}: committed record {offset} {value!r} is {held!r} at the end")
        for value, offset in self.acknowledged[at].all.items():
            if values.count(value) != 1:
                self.complain(f"{at}: {value!r}, acknowledged at {offset}, is there {values.count(value)} times")
        there = set(values)
        return sum(1 for value in self.acknowledged[at].leader_only if value not in there)
