"""A group's timer acts in the group's turn, and only if nothing moved it meanwhile."""

from __future__ import annotations

from tailrace.coordinator.deadline import Deadline
from tailrace.coordinator.decision import Decision, Operation
from tailrace.net.timers import TimingWheel


class Bench:
    """A wheel, and turns that are taken when told."""

    def __init__(self) -> None:
        self.wheel = TimingWheel()
        self.turns: list[Operation] = []
        self.done: list[str] = []
        self.deadline = Deadline(self.wheel, self.turns.append)

    def operation(self, name: str) -> Operation:
        def operate() -> Decision | None:
            self.done.append(name)
            return None

        return operate

    def take_turns(self) -> None:
        for turn in self.turns:
            turn()
        self.turns.clear()


def test_fires_once_in_a_turn() -> None:
    """The firing asks for a turn; the turn does it."""
    bench = Bench()
    bench.deadline.set(100, bench.operation("a"))
    bench.wheel.advance(99)
    assert not bench.turns
    bench.wheel.advance(200)
    assert bench.done == [] and len(bench.turns) == 1
    bench.take_turns()
    bench.wheel.advance(10_000)
    assert bench.done == ["a"]


def test_extension_and_replacement() -> None:
    """Only the last operation runs, at the last time set."""
    bench = Bench()
    bench.deadline.set(100, bench.operation("a"))
    bench.wheel.advance(50)
    bench.deadline.set(100, bench.operation("b"))
    bench.deadline.extend(200)
    bench.wheel.advance(200)
    assert not bench.turns
    bench.wheel.advance(250)
    bench.take_turns()
    assert bench.done == ["b"]


def test_what_comes_before_the_turn_wins() -> None:
    """A heartbeat that was queued before the expiry voids it, and so does a clear."""
    bench = Bench()
    bench.deadline.set(100, bench.operation("expire"))
    bench.wheel.advance(100)
    bench.deadline.extend(100)
    bench.take_turns()
    assert bench.done == []
    bench.wheel.advance(200)
    bench.deadline.clear()
    bench.take_turns()
    assert bench.done == []
    assert not bench.deadline.is_set
    assert len(bench.wheel) == 0
