"""Rounds over all logs are cut into turns; failures end a round, not the rounds."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

from tailrace.base.clock import ManualClock
from tailrace.base.errors import StorageError
from tailrace.base.limits import ROUND_PAUSE_MS, ROUND_TURN_MS
from tailrace.cluster.settings import BrokerSettings
from tailrace.net.timers import TimingWheel
from tailrace.node.upkeep import Upkeep


class SlowLogs:
    """Each step of retention takes half a turn."""

    def __init__(self, clock: ManualClock) -> None:
        self.clock = clock
        self.done: list[int] = []
        self.fails_at = -1
        self.errors: list[StorageError] = []

    def retention_steps(self) -> Iterator[int]:
        for number in range(5):
            self.clock.advance(ROUND_TURN_MS / 2)
            self.done.append(number)
            if number == self.fails_at:
                raise StorageError("read", "/x", OSError(5, "no"))
            yield 0

    def on_upkeep_error(self, error: StorageError) -> None:
        self.errors.append(error)

    def __getattr__(self, name: str) -> Any:
        return lambda: iter(())


def upkeep_of(logs: SlowLogs, clock: ManualClock) -> TimingWheel:
    timers = TimingWheel(now_ms=clock.monotonic_ms(), read_ms=clock.monotonic_ms)
    settings = BrokerSettings({"log.retention.check.interval.ms": "1000"})
    cleaner: Any = SimpleNamespace(steps=lambda: iter(()))
    made: Any = logs
    Upkeep(made, cleaner, settings, timers, clock).start()
    return timers


def after(clock: ManualClock, timers: TimingWheel, ms: float) -> None:
    clock.advance(ms)
    timers.advance(clock.monotonic_ms())


def test_a_round_is_cut_into_turns_and_begins_again_after_its_interval() -> None:
    clock = ManualClock()
    logs = SlowLogs(clock)
    timers = upkeep_of(logs, clock)
    after(clock, timers, 1001)
    assert logs.done == [0, 1], "as much as fits"
    after(clock, timers, ROUND_PAUSE_MS + 20)
    assert logs.done == [0, 1, 2, 3]
    after(clock, timers, ROUND_PAUSE_MS + 20)
    assert logs.done == [0, 1, 2, 3, 4]
    after(clock, timers, ROUND_PAUSE_MS + 20)
    assert len(logs.done) == 5, "the round is over"
    after(clock, timers, 1001)
    assert len(logs.done) == 7


def test_a_failure_ends_the_round_and_the_next_one_begins_anew() -> None:
    clock = ManualClock()
    logs = SlowLogs(clock)
    timers = upkeep_of(logs, clock)
    logs.fails_at = 1
    after(clock, timers, 1001)
    assert logs.done == [0, 1] and len(logs.errors) == 1
    after(clock, timers, 100)
    assert logs.done == [0, 1]
    after(clock, timers, 1001)
    assert logs.done == [0, 1, 0, 1]


def test_the_pause_of_the_cleaner_is_altered_while_the_broker_runs() -> None:
    clock, ticks = ManualClock(), []
    timers = TimingWheel(now_ms=clock.monotonic_ms(), read_ms=clock.monotonic_ms)
    settings = BrokerSettings()
    cleaner: Any = SimpleNamespace(steps=lambda: iter(ticks.append(clock.monotonic_ms()) or ()))
    logs: Any = SlowLogs(clock)
    Upkeep(logs, cleaner, settings, timers, clock).start()
    after(clock, timers, 15_100)
    assert len(ticks) == 1
    settings.set_dynamic({}, {"log.cleaner.backoff.ms": "1000"})
    after(clock, timers, 15_100)  # the wait that had begun
    for _ in range(3):
        after(clock, timers, 1_100)
    assert len(ticks) == 5
    settings.set_dynamic({}, {"log.cleaner.backoff.ms": str((1 << 63) - 1)})
    for _ in range(3):
        after(clock, timers, 1_100)
    assert len(ticks) == 5, "never"
