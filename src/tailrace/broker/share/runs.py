"""Runs: the records of a share partition that are in flight, neighbours of one fate together.

    start offset                                   end offset
    | ACKNOWLEDGED x1 | ACQUIRED x1 by a | AVAILABLE x2 |
    0              9  10              14  15         19  20

Invariant: runs are without gap or overlap, each of at least one offset, from `first_offset` of the first up to the end
offset. A run is cut where one record of it meets another fate; nothing is kept for each record. Kafka keeps a batch,
or for every offset of it a state of its own, in a map with holes; here there is one shape.
Source: Kafka InFlightBatch, InFlightState.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from enum import IntEnum
from typing import NamedTuple


class RecordState(IntEnum):
    """What becomes of a record; the numbers are those that are kept of it."""

    AVAILABLE = 0
    ACQUIRED = 1
    ACKNOWLEDGED = 2
    ARCHIVED = 4


_TERMINAL = frozenset({RecordState.ACKNOWLEDGED, RecordState.ARCHIVED})


class Undo(NamedTuple):
    """What a run goes back to when its new state cannot be kept."""

    state: RecordState
    member_id: str


class Run:
    """Records `first_offset` to `last_offset`, both within, of one state.

    `member_id` is set exactly while they are acquired. `undo` is set from a change until the change is kept: such a
    run is nobody's to take, to acknowledge or to cut.
    """

    __slots__ = (
        "acquired_size",
        "delivery_count",
        "first_offset",
        "last_offset",
        "lock_until_ms",
        "member_id",
        "state",
        "undo",
    )

    def __init__(self, first_offset: int, last_offset: int, state: RecordState, delivery_count: int) -> None:
        assert first_offset <= last_offset
        self.first_offset = first_offset
        self.last_offset = last_offset
        self.state = state
        self.delivery_count = delivery_count
        self.member_id = ""
        self.lock_until_ms = 0.0
        self.undo: Undo | None = None
        self.acquired_size = last_offset - first_offset + 1
        """How many records were acquired together at first: what the throttling of bad ones halves."""

    @property
    def size(self) -> int:
        """How many offsets."""
        return self.last_offset - self.first_offset + 1

    @property
    def is_terminal(self) -> bool:
        """Whether nothing is to come for these records, once the change is kept."""
        return self.state in _TERMINAL

    @property
    def is_available(self) -> bool:
        """Whether they may be acquired."""
        return self.state is RecordState.AVAILABLE and self.undo is None

    @property
    def is_locked(self) -> bool:
        """Whether a member holds them."""
        return self.state is RecordState.ACQUIRED and self.undo is None

    def __repr__(self) -> str:
        holder = f" by {self.member_id}" if self.member_id else ""
        change = " changing" if self.undo else ""
        return f"{self.first_offset}-{self.last_offset} {self.state.name} x{self.delivery_count}{holder}{change}"


class Runs:
    """The runs of one share partition, by rising offset."""

    __slots__ = ("_runs",)

    def __init__(self) -> None:
        self._runs: list[Run] = []

    def __len__(self) -> int:
        return len(self._runs)

    def __iter__(self) -> Iterator[Run]:
        return iter(self._runs)

    def append(self, run: Run) -> None:
        """Take in what comes after all others."""
        assert not self._runs or run.first_offset == self._runs[-1].last_offset + 1
        self._runs.append(run)

    def clear(self) -> None:
        """Forget everything."""
        self._runs.clear()

    def overlapping(self, first_offset: int, last_offset: int) -> list[Run]:
        """Those with an offset in the range, whole; none where the range is empty."""
        runs = self._runs
        if last_offset < first_offset:
            return []
        index = max(bisect_right(runs, first_offset, key=_first_offset) - 1, 0)
        if index < len(runs) and runs[index].last_offset < first_offset:
            index += 1
        found = []
        while index < len(runs) and runs[index].first_offset <= last_offset:
            found.append(runs[index])
            index += 1
        return found

    def cut(self, run: Run, first_offset: int, last_offset: int) -> Run:
        """The part of `run` within the range, which must touch it, as a run of its own. It may be `run` itself."""
        assert run.undo is None
        if run.first_offset < first_offset:
            run = self._split(run, first_offset)
        if run.last_offset > last_offset:
            self._split(run, last_offset + 1)
        return run

    def _split(self, run: Run, offset: int) -> Run:
        """Part `run` before `offset`; answers the second part."""
        assert run.first_offset < offset <= run.last_offset
        index = bisect_right(self._runs, run.first_offset, key=_first_offset) - 1
        assert self._runs[index] is run
        second = Run(offset, run.last_offset, run.state, run.delivery_count)
        second.member_id = run.member_id
        second.lock_until_ms = run.lock_until_ms
        second.acquired_size = run.acquired_size
        run.last_offset = offset - 1
        self._runs.insert(index + 1, second)
        return second

    def drop_below(self, offset: int) -> None:
        """Forget every offset below: they are gone from the log."""
        runs = self._runs
        index = 0
        while index < len(runs) and runs[index].last_offset < offset:
            index += 1
        del runs[:index]
        if runs and runs[0].first_offset < offset:
            runs[0].first_offset = offset

    def drop_done(self) -> int | None:
        """Forget the runs at the front that are done with; answers the offset after them, None where there are none."""
        runs = self._runs
        index = 0
        while index < len(runs) and runs[index].is_terminal and runs[index].undo is None:
            index += 1
        if not index:
            return None
        end = runs[index - 1].last_offset + 1
        del runs[:index]
        return end

    def done_count(self) -> int:
        """How many offsets are done with, changes that are still to be kept included."""
        return sum(run.size for run in self._runs if run.is_terminal)


def sizes(runs: Iterable[Run]) -> int:
    """How many offsets the runs have together."""
    return sum(run.size for run in runs)


def _first_offset(run: Run) -> int:
    return run.first_offset
