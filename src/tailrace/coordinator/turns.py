"""Turns of a coordinator's keys: each group, each transactional id, does one thing at a time.

    operation ──> decide ──> append ──> committed: replay, follow up
                                        refused:   follow up, change nothing

Whoever waits longer than the limit for its turn, or for its records, is refused; what was on its way into the log goes
on, and is replayed when it is committed: a coordinator knows what its log says.

Invariant: turns of one key never overlap, not even when an answer makes a connection deliver the next request; while a
key's records are on their way into the log, what comes for it waits. Keys do not wait for each other.
Not its business: what is decided, which partition a key belongs to. Source: Kafka's `CoordinatorRuntime`.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple, Protocol

from tailrace.base.errors import ErrorCode, KafkaError
from tailrace.base.pending import Pending
from tailrace.coordinator.decision import Decision, Operation
from tailrace.coordinator.limits import QUEUE_MAX_OPERATIONS
from tailrace.coordinator.ports import PartitionWriter, Timers

_APPEND_ERRORS: Final = {
    ErrorCode.UNKNOWN_TOPIC_OR_PARTITION: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_ENOUGH_REPLICAS_AFTER_APPEND: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.REQUEST_TIMED_OUT: ErrorCode.COORDINATOR_NOT_AVAILABLE,
    ErrorCode.NOT_LEADER_OR_FOLLOWER: ErrorCode.NOT_COORDINATOR,
    ErrorCode.KAFKA_STORAGE_ERROR: ErrorCode.NOT_COORDINATOR,
    ErrorCode.MESSAGE_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.RECORD_LIST_TOO_LARGE: ErrorCode.UNKNOWN_SERVER_ERROR,
    ErrorCode.INVALID_FETCH_SIZE: ErrorCode.UNKNOWN_SERVER_ERROR,
}
"""What a client is told when the log refuses. Source: Kafka's `CoordinatorOperationExceptionHelper`."""


class Turn(NamedTuple):
    """An operation waiting for its key, and how to refuse it."""

    operation: Operation
    refuse: Callable[[ErrorCode], None]


class Shard(Protocol):
    """The state machine of one partition, as its turns see it."""

    partition: int
    turns: dict[str, deque[Turn]]
    """A key has an entry while it is in a turn: what waits for it."""
    is_closed: bool

    def apply(self, decision: Decision) -> None:
        """Replay the records of a decision that is committed."""
        ...


def refuse_nobody(_: ErrorCode) -> None:
    """A timer's operation has nobody to answer. Turns with it are never refused for want of room."""


class Limit(NamedTuple):
    """How long somebody waits for the log, in ms, and what tells the time."""

    timers: Timers
    limit_ms: Callable[[], float]


class Turns:
    """Gives turns over one writer. One owner, one thread. Requests' answers must bear being given twice (`Answer`)."""

    __slots__ = ("_limit", "_writer")

    def __init__(self, writer: PartitionWriter, limit: Limit) -> None:
        self._writer = writer
        self._limit = limit

    def take(self, shard: Shard, key: str, turn: Turn) -> None:
        """Run `turn` when `key` is free: at once, or later in order of arrival."""
        waiting = shard.turns.get(key)
        if waiting is None:
            shard.turns[key] = deque((turn,))
            self._run(shard, key)
        elif len(waiting) < QUEUE_MAX_OPERATIONS or turn.refuse is refuse_nobody:
            waiting.append(turn)  # a key's timers are few; losing one would lose a rebalance or a transaction's end
            if turn.refuse is not refuse_nobody:
                self._limit.timers.schedule(self._limit.limit_ms(), partial(_give_up, shard, key, turn))
        else:
            turn.refuse(ErrorCode.COORDINATOR_NOT_AVAILABLE)

    def _run(self, shard: Shard, key: str) -> None:
        """Run what waits for a key until nothing does, or records are on their way."""
        waiting = shard.turns[key]
        try:
            while waiting:
                turn = waiting.popleft()
                if shard.is_closed:
                    turn.refuse(ErrorCode.NOT_COORDINATOR)
                    continue
                try:
                    decision = turn.operation()
                except KafkaError as error:
                    turn.refuse(error.code)
                    continue
                while decision is not None:
                    appended = self._writer.append(shard.partition, decision.records, decision.transaction)
                    if not appended.done:
                        self._limit_wait(turn, appended)
                        appended.on_complete(partial(self._on_appended, shard, key, decision))
                        return
                    decision = _settle(shard, decision, appended.value)
        except BaseException:
            # A bug in one operation must not leave its key without turns for ever.
            if waiting:
                self._run(shard, key)
            else:
                shard.turns.pop(key, None)
            raise
        del shard.turns[key]

    def _limit_wait(self, turn: Turn, appended: Pending[ErrorCode | None]) -> None:
        """Tell who asked that it takes too long, if it does."""
        if turn.refuse is not refuse_nobody:
            timer = self._limit.timers.schedule(
                self._limit.limit_ms(), partial(turn.refuse, _APPEND_ERRORS[ErrorCode.REQUEST_TIMED_OUT])
            )
            appended.on_complete(lambda _: timer.cancel())

    def _on_appended(self, shard: Shard, key: str, decision: Decision, code: ErrorCode | None) -> None:
        try:
            following = _settle(shard, decision, code)
            if following is not None:
                shard.turns[key].appendleft(Turn(lambda: following, refuse_nobody))
        finally:
            self._run(shard, key)


def _give_up(shard: Shard, key: str, turn: Turn) -> None:
    """Refuse a turn that has waited too long for its key, unless it had its turn."""
    waiting = shard.turns.get(key)
    if waiting is not None and turn in waiting:
        waiting.remove(turn)
        turn.refuse(_APPEND_ERRORS[ErrorCode.REQUEST_TIMED_OUT])


def refuse_waiting(shard: Shard) -> None:
    """Refuse whatever waits for a turn in a shard that is no longer this broker's."""
    for waiting in shard.turns.values():
        while waiting:
            waiting.popleft().refuse(ErrorCode.NOT_COORDINATOR)


def _settle(shard: Shard, decision: Decision, code: ErrorCode | None) -> Decision | None:
    """Records are committed or refused: replay and answer, or answer. May be followed by another decision."""
    if shard.is_closed:
        code = ErrorCode.NOT_LEADER_OR_FOLLOWER
    if code is None:
        shard.apply(decision)
        decision.on_commit()
        return None
    following = decision.on_failure(_APPEND_ERRORS.get(code, code))
    return None if shard.is_closed else following
