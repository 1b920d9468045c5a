"""A history as the rules of the checker look at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.history.model import Bounds, History, Key, Op, Outcome, Promise, Send

FINAL = "final"
"""The process whose reads are whole partitions after all is over; the last such read of each counts."""


class View:
    """What the rules ask of a history, gathered once."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.sender: dict[str, tuple[Op, Send]] = {send.value: (op, send) for op, send in history.sends()}
        self.values: dict[Key, dict[int, set[str]]] = defaultdict(lambda: defaultdict(set))
        self.read_offsets: dict[Key, dict[str, set[int]]] = defaultdict(lambda: defaultdict(set))
        self.final: dict[Key, dict[int, str]] = {}
        self.log_start: dict[Key, int] = defaultdict(int)
        for op, read in history.reads():
            for offset, value in read.records:
                self.values[read.key][offset].add(value)
                self.read_offsets[read.key][value].add(offset)
            if op.process == FINAL:
                self.final[read.key] = dict(read.records)
        for op, send in history.sends(Outcome.OK, Outcome.INFO):
            is_sure = (
                not op.is_transaction or op.outcome is Outcome.OK or send.value in self.read_offsets.get(send.key, ())
            )
            if send.offset is not None and is_sure:
                self.values[send.key][send.offset].add(send.value)
        self.final_values = {key: set(records.values()) for key, records in self.final.items()}
        for _, step in history.steps(Outcome.OK):
            if isinstance(step, Bounds):
                self.log_start[step.key] = max(self.log_start[step.key], step.log_start)

    def is_gone(self, key: Key, offset: int) -> bool:
        """Whether the record may have been deleted since."""
        return offset < self.log_start[key]

    def kept(self) -> Iterator[Send]:
        """Acknowledged records with known offsets that must still be there."""
        for _, send in self.history.sends(Outcome.OK):
            if (
                Promise.KEPT in send.promise
                and send.offset is not None
                and not self.is_gone(send.key, send.offset)
                and not self.history.rules_of(send.key).is_compacted
            ):
                yield send
