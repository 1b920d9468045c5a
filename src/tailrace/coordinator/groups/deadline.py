"""A timer that acts in its group's turn, and the shape of what is done in a turn.

Between a timer's firing and its turn, other operations of the group may run; one that moves or clears the deadline
voids that firing. So a heartbeat queued before the expiry always wins.
"""

from __future__ import annotations

from collections.abc import Callable

from tailrace.base.errors import ErrorCode
from tailrace.coordinator.ports import GroupRecord, TimerHandle, Timers


class Decision:
    """What an operation wants appended, and what is to follow.

    `on_commit` runs after the records were committed and replayed, `on_failure` when they were refused: then nothing
    they say has happened.
    """

    __slots__ = ("on_commit", "on_failure", "records")

    def __init__(
        self,
        records: list[GroupRecord],
        on_commit: Callable[[], None],
        on_failure: Callable[[ErrorCode], Decision | None],
    ) -> None:
        assert records, "a decision without records is None"
        self.records = records
        self.on_commit = on_commit
        self.on_failure = on_failure
        """May decide again, in the same turn."""

    def and_then(self, on_commit: Callable[[], None], on_failure: Callable[[ErrorCode], None]) -> Decision:
        """The same records with something more to do, afterwards."""
        first_commit, first_failure = self.on_commit, self.on_failure

        def commit() -> None:
            first_commit()
            on_commit()

        def failure(code: ErrorCode) -> Decision | None:
            decision = first_failure(code)
            on_failure(code)
            return decision

        return Decision(self.records, commit, failure)


Operation = Callable[[], Decision | None]
"""One turn of a group. May raise KafkaError before it changes anything."""


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
