"""A timer that acts in its group's turn.

Between a timer's firing and its turn, other operations of the group may run; one that moves or clears the deadline
voids that firing. So a heartbeat queued before the expiry always wins.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.coordinator.decision import Decision, Operation
from tailrace.coordinator.ports import TimerHandle, Timers


class Deadline:
    """One timer of a group. `take_turn` runs an operation when the group is free."""

    __slots__ = ("_operation", "_round", "_take_turn", "_timer", "_timers")

    def __init__(self, timers: Timers, take_turn: Callable[[Operation], None]) -> None:
        self._timers = timers
        self._take_turn = take_turn
        self._timer: TimerHandle | None = None
        self._operation: Operation | None = None
        self._round = 0

    def set(self, delay_ms: float, operation: Operation) -> None:
        """Run `operation` after `delay_ms`, and nothing set before."""
        self._operation = operation
        self.extend(delay_ms)

    def extend(self, delay_ms: float) -> None:
        """Run the operation last set `delay_ms` from this moment instead."""
        assert self._operation is not None, "extended before set"
        self._round += 1
        if self._timer is None:
            self._timer = self._timers.schedule(delay_ms, self._fire)
        else:
            self._timer.reset(delay_ms)

    def clear(self) -> None:
        """Run nothing."""
        self._round += 1
        self._operation = None
        if self._timer is not None:
            self._timer.cancel()

    @property
    def is_set(self) -> bool:
        """Whether something is still to run."""
        return self._operation is not None

    def _fire(self) -> None:
        fired_round = self._round

        def turn() -> Decision | None:
            operation = self._operation
            if fired_round != self._round or operation is None:
                return None
            return operation()

        self._take_turn(turn)
