"""The watchdog tells a turn that lasts, once, and keeps quiet where nothing runs at all. The loop is this test."""

import pytest

from tailrace.base.clock import ManualClock
from tailrace.observe import watchdog as watchdog_module
from tailrace.observe.profile import Frame
from tailrace.observe.watchdog import Stall, Watchdog

STALL_MS = 100


class Loop:
    turn_count = 7
    on_turn = None


def nowhere():
    """Where a loop waits that never waits."""


class Scene:
    """A loop in a turn: the stack that is looked at is that of the test."""

    def __init__(self, monkeypatch, waits_in):
        self.loop, self.clock, self.told, self.cpu_ns = Loop(), ManualClock(), [], 0
        monkeypatch.setattr(watchdog_module, "thread_cpu_ns", lambda ident: self.cpu_ns)
        self.watchdog = Watchdog(self.loop, waits_in.__code__, self.clock, self.told.append)

    def look(self, after_ms=0, late_ms=0.0):
        self.clock.advance(after_ms)
        return self.watchdog.look(STALL_MS, late_ms)


@pytest.fixture
def held(monkeypatch):
    return Scene(monkeypatch, nowhere)


@pytest.fixture
def idle(monkeypatch):
    return Scene(monkeypatch, Watchdog.look)


def test_a_turn_that_lasts_is_told_once(held):
    held.look()
    held.look(50)
    assert held.told == []
    held.look(50)
    held.look(500)
    assert [stall.blocked_ms for stall in held.told] == [100]
    held.loop.turn_count += 1
    held.look(50)
    held.look(100)
    assert [stall.blocked_ms for stall in held.told] == [100, 100]


def test_turns_that_end_are_not_told(held):
    for _ in range(10):
        held.look(90)
        held.loop.turn_count += 1
    assert held.told == []


def test_a_machine_that_stood_still_is_not_told(held):
    held.look()
    held.look(1000, late_ms=950.0)
    assert held.told == []


def test_a_call_that_keeps_the_interpreter_is_told_although_the_look_was_late(held):
    held.look()
    held.cpu_ns = 990_000_000
    held.look(1000, late_ms=950.0)
    assert [(stall.blocked_ms, stall.cpu_ms) for stall in held.told] == [(1000, 990)]


def test_an_idle_loop_is_left_alone_until_its_next_turn(idle):
    assert not idle.look()
    assert idle.look(50)
    assert idle.loop.on_turn is not None
    idle.loop.on_turn()
    assert idle.loop.on_turn is None
    idle.loop.turn_count += 1
    assert not idle.look(50)
    assert idle.told == []


def test_the_callback_is_what_the_loop_called():
    names = ["json.loads", "app.Handler.on_data", "tailrace.net.selector.PollerSelector.select", "asyncio.run"]
    assert Stall(300, None, tuple(Frame(name) for name in names)).callback.name == "app.Handler.on_data"
    assert Stall(300, None, tuple(Frame(name) for name in names[2:])).callback.name == names[2]
