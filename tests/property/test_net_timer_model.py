"""Timing wheel against a dumb model: a list of deadlines. Includes cancel and re-arm from callbacks, and slices.

The model knows the tick each timer has to fire on: the first that is not before its deadline and that the wheel has
not left behind. A timer of no delay that is set exactly on a tick the wheel has reached is due a whole tick later.
"""

from __future__ import annotations

from math import ceil
from typing import NamedTuple

from hypothesis import example, given, settings
from hypothesis import strategies as st

from tailrace.net.timers import Timer, TimingWheel

TICK_MS = 5
DELAYS = st.one_of(st.integers(0, 50), st.integers(0, 2000), st.integers(0, 400_000), st.integers(0, 10**8))
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("schedule"), DELAYS, st.sampled_from(["plain", "rearm", "cancel_other", "reset_other"])),
        st.tuples(st.just("cancel"), st.integers(0, 30), st.just("")),
        st.tuples(st.just("reset"), st.integers(0, 30), DELAYS),
        st.tuples(st.just("advance"), DELAYS, st.integers(1, 4)),
    ),
    max_size=60,
)


class Due(NamedTuple):
    deadline_ms: float
    tick: int


class World:
    """The wheel and the model: `due` maps each live timer to its deadline and its tick."""

    def __init__(self, start_ms: int) -> None:
        self.now = float(start_ms)
        self.wheel = TimingWheel(TICK_MS, self.now, lambda: self.now)
        self.tick = start_ms // TICK_MS  # as far as timers have fired
        self.timers: list[Timer] = []
        self.due: dict[int, Due] = {}

    def due_in(self, delay_ms: int) -> Due:
        deadline_ms = self.now + delay_ms
        return Due(deadline_ms, max(ceil(deadline_ms / TICK_MS), self.tick + 1))

    def schedule(self, delay_ms: int, kind: str) -> None:
        index = len(self.timers)
        self.due[index] = self.due_in(delay_ms)
        self.timers.append(self.wheel.schedule(delay_ms, lambda: self.fired(index, kind)))

    def fired(self, index: int, kind: str) -> None:
        due = self.due.pop(index)
        assert self.now >= due.tick * TICK_MS >= due.deadline_ms, "early"
        assert due.tick >= self.tick, "out of order"
        self.tick = due.tick
        other = (index * 7 + 3) % len(self.timers)
        if kind == "rearm" and index % 3 == 0:
            self.reset(index, 17)
        elif kind == "cancel_other":
            self.cancel(other)
        elif kind == "reset_other" and other in self.due:
            self.reset(other, 23)

    def cancel(self, index: int) -> None:
        self.timers[index].cancel()
        self.due.pop(index, None)

    def reset(self, index: int, delay_ms: int) -> None:
        self.timers[index].reset(delay_ms)
        self.due[index] = self.due_in(delay_ms)

    def advance(self, delta_ms: int, limit: int) -> None:
        self.now += delta_ms
        while self.wheel.advance(self.now, limit):
            assert self.wheel.next_ms() is not None
        self.tick = int(self.now // TICK_MS)
        assert all(due.tick > self.tick for due in self.due.values()), "late"
        assert {index for index, timer in enumerate(self.timers) if timer.active} == set(self.due)
        assert len(self.wheel) == len(self.due)
        next_ms = self.wheel.next_ms()
        assert (next_ms is None) == (not self.due)
        if next_ms is not None:
            assert self.now < next_ms <= min(due.tick for due in self.due.values()) * TICK_MS


@settings(max_examples=300, deadline=None)
@given(st.integers(0, 2**41), STEPS)
@example(5, [("schedule", 0, "plain"), ("advance", 0, 1), ("advance", 5, 1)])
@example(7, [("schedule", 0, "plain"), ("advance", 3, 1)])
def test_wheel_agrees_with_a_list(start_ms: int, steps: list[tuple[str, int, object]]) -> None:
    world = World(start_ms)
    for name, number, extra in steps:
        if name == "schedule":
            world.schedule(number, str(extra))
        elif name == "advance":
            assert isinstance(extra, int)
            world.advance(number, extra)
        elif world.timers:
            index = number % len(world.timers)
            if name == "cancel":
                world.cancel(index)
            else:
                assert isinstance(extra, int)
                world.reset(index, extra)
    for _ in range(5):
        world.advance(10**8, 3)
    world.advance(10**8, 3)
