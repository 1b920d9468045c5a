"""A history as the rules of the checker look at it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from tests.history.model import Bounds, DeleteRecords, History, Key, Op, Outcome, Promise, Read, Send

FINAL = "final"
"""The process whose reads are whole partitions after all is over; the last such read of each counts."""

Values = dict[Key, dict[int, set[str]]]
"""What is known to lie, or to have lain, at each offset."""
Places = dict[Key, dict[str, set[int]]]
"""Where each value was read."""


def _values() -> Values:
    return defaultdict(lambda: defaultdict(set))


def _places() -> Places:
    return defaultdict(lambda: defaultdict(set))


class View:
    """What the rules ask of a history, gathered once. `all_x` counts what only read_uncommitted shows, too."""

    def __init__(self, history: History) -> None:
        self.history = history
        self.sender: dict[str, tuple[Op, Send]] = {send.value: (op, send) for op, send in history.sends()}
        self.values, self.all_values = _values(), _values()
        self.read_offsets, self.all_read_offsets = _places(), _places()
        self.final: dict[Key, dict[int, str]] = {}
        self.all_final: dict[Key, dict[int, str]] = {}
        self.final_bounds: dict[Key, Bounds] = {}
        self.log_start: dict[Key, int] = defaultdict(int)
        self._deletions: dict[Key, list[tuple[float, int]]] = defaultdict(list)
        self._untold_deletions: dict[Key, list[tuple[float, int]]] = defaultdict(list)
        for op, read in history.reads():
            self._take_read(op, read)
        for op, send in history.sends():
            self._take_send(op, send)
        self.final_values = {key: set(records.values()) for key, records in self.final.items()}
        for op, step in history.steps(Outcome.OK, Outcome.INFO):
            if isinstance(step, DeleteRecords):
                self._deletions[step.key].append((op.invoked, step.before))
                if op.outcome is Outcome.INFO:
                    self._untold_deletions[step.key].append((op.invoked, step.before))
        for op, step in history.steps(Outcome.OK):
            if isinstance(step, Bounds):
                self.log_start[step.key] = max(self.log_start[step.key], step.log_start)
                if op.process == FINAL:
                    self.final_bounds[step.key] = step

    def _take_read(self, op: Op, read: Read) -> None:
        for offset, value in read.records:
            self.all_values[read.key][offset].add(value)
            self.all_read_offsets[read.key][value].add(offset)
            if read.is_committed:
                self.values[read.key][offset].add(value)
                self.read_offsets[read.key][value].add(offset)
        if op.process == FINAL:
            (self.final if read.is_committed else self.all_final)[read.key] = dict(read.records)

    def _take_send(self, op: Op, send: Send) -> None:
        if send.offset is None:
            return
        self.all_values[send.key][send.offset].add(send.value)
        was_read = send.value in self.read_offsets.get(send.key, ())
        if op.outcome is Outcome.OK or (op.outcome is Outcome.INFO and (not op.is_transaction or was_read)):
            self.values[send.key][send.offset].add(send.value)

    def is_gone(self, key: Key, offset: int) -> bool:
        """Whether the record may have been deleted since."""
        return offset < self.log_start[key]

    def was_hidden(self, key: Key, offset: int, when: float) -> bool:
        """Whether the record may have been deleted when it was looked for.

        A deletion that nobody was told of may be seen by readers, and be undone by a crash: then the record is back.
        """
        return any(invoked < when and offset < before for invoked, before in self._deletions[key])

    def was_out_of_range(self, key: Key, offset: int, when: float) -> bool:
        """Whether a reader that had read up to `offset` may have been sent to the log's start by a deletion that was
        undone."""
        return any(invoked < when and offset + 1 < before for invoked, before in self._untold_deletions[key])

    def may_be_undone(self, key: Key, log_start: int, seen: float) -> bool:
        """Whether the log may have started there, when that was seen, only by a deletion that nobody was told of."""
        return any(invoked < seen and before == log_start for invoked, before in self._untold_deletions[key])

    def place(self, send: Send) -> int | None:
        """Where a record lies: where its producer was told, or the one place where it was read."""
        if send.offset is not None:
            return send.offset
        found = self.all_read_offsets[send.key].get(send.value, set())
        return next(iter(found)) if len(found) == 1 else None

    def times_written(self, value: str) -> int:
        """At how many offsets a value was read."""
        if value not in self.sender:
            return 0
        return len(self.all_read_offsets[self.sender[value][1].key].get(value, ()))

    def kept(self) -> Iterator[Send]:
        """Acknowledged records with known offsets that must still be there."""
        for send in self._acknowledged():
            if send.offset is not None and not self.is_gone(send.key, send.offset):
                yield send

    def kept_somewhere(self) -> Iterator[Send]:
        """Acknowledged records of which nobody was told the offset, in partitions from which nothing goes."""
        for send in self._acknowledged():
            if send.offset is None and not self.log_start[send.key]:
                yield send

    def _acknowledged(self) -> Iterator[Send]:
        for _, send in self.history.sends(Outcome.OK):
            if Promise.KEPT in send.promise and not self.history.rules_of(send.key).is_compacted:
                yield send
