"""A share partition and what it lives on: its store, the clock of its locks, and those who wait for it.

    made --read_state--> active --write refused, leader changed, group gone--> ended

Invariant: what a member is told was acknowledged is in the store. One lock timer, set for the first lock to run out.
A store that is not available, because it loads, is asked again.
Not its business: reading records, sessions. Source: Kafka SharePartition, SharePartitionManager.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from math import inf
from typing import Final, NamedTuple

from tailrace.base.clock import Clock
from tailrace.base.errors import ErrorCode, KafkaError, StorageError
from tailrace.base.pending import Pending
from tailrace.broker.share.limits import EXPIRED_RETRY_MS, STORE_RETRIES_MAX, STORE_RETRY_MS
from tailrace.broker.share.requests import Acknowledgements, Acquired, AcquireWish, BatchSpan, ShareSettings
from tailrace.broker.share.runs import Run
from tailrace.broker.share.share_partition import SharePartition, kept_batches
from tailrace.broker.share.start_offset import start_offset_of
from tailrace.coordinator.ports import TimerHandle, Timers
from tailrace.coordinator.share_state.ports import (
    UNINITIALIZED_START_OFFSET,
    PartitionState,
    SharePartitionKey,
    ShareStates,
    StateWrite,
)
from tailrace.replication.partition import Partition

_log = logging.getLogger("tailrace.broker")

Outcome = Pending[KafkaError | None]

_UNAVAILABLE: Final = frozenset(
    {
        ErrorCode.NOT_COORDINATOR,
        ErrorCode.COORDINATOR_NOT_AVAILABLE,
        ErrorCode.COORDINATOR_LOAD_IN_PROGRESS,
    }
)
_FENCED: Final = frozenset({ErrorCode.FENCED_LEADER_EPOCH, ErrorCode.FENCED_STATE_EPOCH})
_FINAL: Final = frozenset(
    {
        ErrorCode.NOT_LEADER_OR_FOLLOWER,
        ErrorCode.GROUP_ID_NOT_FOUND,
        ErrorCode.UNKNOWN_TOPIC_OR_PARTITION,
    }
)
"""After these the state that was read is not to be trusted: it is read again when somebody asks."""


class Around(NamedTuple):
    """What every share partition uses."""

    states: ShareStates
    timers: Timers
    clock: Clock
    offset_reset: Callable[[str], str]
    """Group -> its `share.auto.offset.reset`."""


class LivePartition:
    """One share partition of a partition that is led here."""

    __slots__ = (
        "_around",
        "_retry",
        "_state_epoch",
        "_timer",
        "_timer_at_ms",
        "_waiters",
        "error",
        "key",
        "leader_epoch",
        "partition",
        "settings",
        "state",
    )

    def __init__(self, key: SharePartitionKey, partition: Partition, settings: ShareSettings, around: Around) -> None:
        self.key = key
        self.partition = partition
        self.leader_epoch = partition.leader_epoch
        self.settings = settings
        self.state: SharePartition | None = None
        """None until it is read."""
        self.error: KafkaError | None = None
        """Why it has ended: whoever needs it has another one made."""
        self._around = around
        self._state_epoch = 0
        self._waiters: dict[Callable[[], None], None] = {}
        self._timer: TimerHandle | None = None
        self._timer_at_ms = inf
        self._retry: TimerHandle | None = None
        self._read()

    def _read(self) -> None:
        self._around.states.read_state(self.key, self.leader_epoch).on_complete(self._on_read)

    def _on_read(self, read: PartitionState | ErrorCode) -> None:
        if self.error is not None:
            return
        if isinstance(read, ErrorCode) and read in _UNAVAILABLE:
            self._retry = self._around.timers.schedule(STORE_RETRY_MS, self._read)
            return
        try:
            if isinstance(read, ErrorCode):
                raise _told(read)
            start = read.start_offset
            if start == UNINITIALIZED_START_OFFSET:
                reset = self._around.offset_reset(self.key.group_id)
                start = start_offset_of(reset, self.partition, self._around.clock.wall_ms())
            self._state_epoch = read.state_epoch
            self.state = SharePartition(start, read.batches, self.settings)
        except KafkaError as error:
            self.end(error)
        except StorageError as error:
            self.end(KafkaError(ErrorCode.KAFKA_STORAGE_ERROR, str(error)))
        else:
            self._wake()

    def end(self, error: KafkaError) -> None:
        """Serve nobody any more; those who wait learn it."""
        if self.error is None:
            self.error = error
            for timer in (self._timer, self._retry):
                if timer is not None:
                    timer.cancel()
            self._wake()

    @property
    def is_at_rest(self) -> bool:
        """Whether it can be forgotten and read again without anybody noticing."""
        return self.state is not None and self.state.is_at_rest and not self._waiters

    def obey(self, settings: ShareSettings) -> None:
        """Use the group's settings as they are now."""
        self.settings = settings
        if self.state is not None:
            self.state.settings = settings

    # -- waiting ---------------------------------------------------------------------------------------------------

    def add_waiter(self, waiter: Callable[[], None]) -> None:
        """Call `waiter` each time records may have become available, until it is removed."""
        self._waiters[waiter] = None

    def remove_waiter(self, waiter: Callable[[], None]) -> None:
        """Undo `add_waiter`; harmless when it is not there."""
        self._waiters.pop(waiter, None)

    def _wake(self) -> None:
        for waiter in list(self._waiters):
            waiter()

    # -- records ---------------------------------------------------------------------------------------------------

    def acquire(
        self, member_id: str, wish: AcquireWish, fetch_offset: int, batches: Sequence[BatchSpan]
    ) -> list[Acquired]:
        """Lock records for a member, for as long as the group's settings say."""
        assert self.state is not None
        now_ms = self._around.clock.monotonic_ms()
        acquired = self.state.acquire(member_id, wish, fetch_offset, batches, now_ms)
        if acquired:
            self._watch_locks(now_ms, now_ms + self.settings.record_lock_duration_ms)
        return acquired

    def acknowledge(self, member_id: str, batches: Iterable[Acknowledgements]) -> Outcome:
        """What a member says of its records; completes when that is kept, or with why it is not."""
        if self.error is not None:
            return _completed(self.error)
        if self.state is None:
            return _completed(KafkaError(ErrorCode.INVALID_RECORD_STATE, "The state of the partition is being read."))
        try:
            changed = self.state.acknowledge(member_id, batches, self._around.clock.monotonic_ms())
        except KafkaError as error:
            return _completed(error)
        return self._keep(changed)

    def release(self, member_id: str) -> Outcome:
        """Take back what a member holds."""
        if self.error is not None or self.state is None:
            return _completed(self.error)
        return self._keep(self.state.release(member_id))

    def _keep(self, changed: list[Run]) -> Outcome:
        if not changed:
            return _completed(None)
        outcome: Outcome = Pending()
        self._try_to_keep(changed, outcome, STORE_RETRIES_MAX)
        return outcome

    def _try_to_keep(self, changed: list[Run], outcome: Outcome, retries: int) -> None:
        self._write(changed).on_complete(partial(self._on_kept, changed, outcome, retries))

    def _on_kept(self, changed: list[Run], outcome: Outcome, retries: int, code: ErrorCode | None) -> None:
        assert self.state is not None
        if code in _UNAVAILABLE and retries and self.error is None:
            again = partial(self._try_to_keep, changed, outcome, retries - 1)
            self._around.timers.schedule(STORE_RETRY_MS, again)
            return
        self.state.complete(changed, code is None, self._around.clock.monotonic_ms())
        error = None if code is None else self._refused(code)
        self._wake()
        outcome.complete(error)

    def _write(self, changed: list[Run]) -> Pending[ErrorCode | None]:
        state = self.state
        assert state is not None
        write = StateWrite(
            self._state_epoch,
            self.leader_epoch,
            state.start_offset,
            state.delivery_complete_count,
            kept_batches(changed),
        )
        return self._around.states.write_state(self.key, write)

    def _refused(self, code: ErrorCode) -> KafkaError:
        error = _told(code)
        if error.code in _FINAL:
            _log.info("%s of group %s is read again: %s", self.key.text, self.key.group_id, code.name)
            self.end(error)
        return error

    # -- locks -----------------------------------------------------------------------------------------------------

    def _watch_locks(self, now_ms: float, at_ms: float) -> None:
        """Look at the locks at `at_ms`, or before."""
        if at_ms >= self._timer_at_ms or self.error is not None:
            return
        self._timer_at_ms = at_ms
        if self._timer is None:
            self._timer = self._around.timers.schedule(at_ms - now_ms, self._on_time)
        else:
            self._timer.reset(at_ms - now_ms)

    def _on_time(self) -> None:
        state = self.state
        assert state is not None
        now_ms = self._around.clock.monotonic_ms()
        self._timer_at_ms = inf
        expired = state.expire(now_ms)
        next_ms = state.next_expiry_ms()
        if next_ms < inf:
            self._watch_locks(now_ms, max(next_ms, now_ms + EXPIRED_RETRY_MS))
        if expired:
            self._write(expired).on_complete(self._on_expired)
            self._wake()

    def _on_expired(self, code: ErrorCode | None) -> None:
        """The lock has run out whether or not that could be kept."""
        assert self.state is not None
        self.state.settle()
        if code is not None:
            self._refused(code)
        self._wake()


def _told(code: ErrorCode) -> KafkaError:
    """What a client is told when the store refuses with `code`."""
    if code in _UNAVAILABLE:
        return KafkaError(ErrorCode.COORDINATOR_NOT_AVAILABLE)
    if code in _FENCED:
        return KafkaError(ErrorCode.NOT_LEADER_OR_FOLLOWER)
    if code in _FINAL:
        return KafkaError(code)
    return KafkaError(ErrorCode.UNKNOWN_SERVER_ERROR, f"The state of the share partition is refused: {code.name}.")


def _completed(error: KafkaError | None) -> Outcome:
    outcome: Outcome = Pending()
    outcome.complete(error)
    return outcome
