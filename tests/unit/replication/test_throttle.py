"""The quota of replicas on the move."""

from __future__ import annotations

from tailrace.base.clock import ManualClock
from tailrace.replication.throttle import Throttle, ThrottleLimits, names_replica


def test_a_window_is_used_up_and_moves_on() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, lambda: ThrottleLimits(100, 11, 1))
    assert not throttle.is_exceeded()
    throttle.note(1000)
    assert not throttle.is_exceeded(), "ten seconds' worth"
    throttle.note(1)
    assert throttle.is_exceeded()
    clock.advance(10_000)
    assert throttle.is_exceeded()
    clock.advance(1_000)
    assert not throttle.is_exceeded(), "it is out of the window"


def test_the_mean_over_time_is_the_rate() -> None:
    clock = ManualClock()
    throttle = Throttle(clock, lambda: ThrottleLimits(100, 11, 1))
    passed = 0
    for _ in range(600):
        while not throttle.is_exceeded():
            throttle.note(30)
            passed += 30
        clock.advance(100)
    assert 5_500 <= passed <= 7_000, "60 s, and what the first window may have at once"


def test_another_rate_counts_at_once() -> None:
    rate = 10
    throttle = Throttle(ManualClock(), lambda: ThrottleLimits(rate, 11, 1))
    throttle.note(500)
    assert throttle.is_exceeded()
    rate = 1000
    assert not throttle.is_exceeded()


def test_which_replicas_are_meant() -> None:
    assert names_replica(("*",), 3, 1)
    assert names_replica(("0:1", "3:1"), 3, 1)
    assert not names_replica(("3:11", "1:3"), 3, 1)
    assert not names_replica((), 0, 1)
